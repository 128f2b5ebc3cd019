// What every program of this folder is told, and how each call went.

import { createPrivateKey, webcrypto } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { Agent, fetch } from 'undici'

const read = (path) => path && readFileSync(path)

export const facts = JSON.parse(readFileSync(process.argv[2]))
export const [ca, cert, key] = [facts.ca, facts.cert, facts.key].map(read)
export const thief = facts.thief && { ca, cert: readFileSync(facts.thief.cert), key: readFileSync(facts.thief.key) }

// A refusal as it reached the program: { status, error }, wherever its library keeps them.
export async function outcome(call) {
  try {
    return await call()
  } catch (failure) {
    const status = failure.status ?? failure.cause?.status ?? failure.response?.status
    const error = failure.error ?? failure.cause?.[0]?.parameters?.error ?? failure.cause?.error
    if (status === undefined && error === undefined) throw failure
    return { status, error }
  }
}

export const statusOf = (response) => ({ status: response.status })

export const signingKey = () =>
  webcrypto.subtle.importKey(
    'pkcs8',
    createPrivateKey(readFileSync(facts.signing_key)).export({ format: 'der', type: 'pkcs8' }),
    { name: 'ECDSA', namedCurve: 'P-256' },
    false,
    ['sign'],
  )

// What a library that acts for people must know of its registration; without a certificate there is no alias to use.
export const known = { use_mtls_endpoint_aliases: cert !== null }

// A fetch that presents a certificate: ours, or that of a thief.
export const fetchWith = (identity = { ca, cert, key }) => {
  const present = Object.entries(identity).filter(([, value]) => value !== null)
  const dispatcher = new Agent({ connect: Object.fromEntries(present) })
  return (url, request) => fetch(url, { ...request, dispatcher })
}

// A line for whoever runs the program; and where the browser came back to after it was sent somewhere.
export const show = (told) => console.log(JSON.stringify(told))
export const cameBackTo = async (url) => {
  show({ browser: url.href })
  const lines = createInterface({ input: process.stdin })
  const { value } = await lines[Symbol.asyncIterator]().next()
  lines.close()
  return new URL(value)
}

export const tell = (told) => console.log(JSON.stringify(told))
