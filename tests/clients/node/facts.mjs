// What every program of this folder is told, and how each call went.

import { createPrivateKey, webcrypto } from 'node:crypto'
import { readFileSync } from 'node:fs'

export const facts = JSON.parse(readFileSync(process.argv[2]))
export const [ca, cert, key] = [facts.ca, facts.cert, facts.key].map((path) => readFileSync(path))
export const thief = facts.thief && { ca, cert: readFileSync(facts.thief.cert), key: readFileSync(facts.thief.key) }

// A refusal as it reached the program: { status, error }, wherever its library keeps them.
export async function outcome(call) {
  try {
    return await call()
  } catch (failure) {
    const status = failure.status ?? failure.cause?.status ?? failure.response?.status
    if (status === undefined) throw failure
    return { status, error: failure.error ?? failure.cause?.[0]?.parameters?.error ?? failure.cause?.error }
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

export const tell = (told) => console.log(JSON.stringify(told))
