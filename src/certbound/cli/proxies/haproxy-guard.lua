-- How HAProxy asks certbound guard about a request: `lua-load-per-thread` in the configuration that
-- `certbound proxy-config haproxy --for guard` prints.  It is the same for every deployment, and holds no secret.
--
-- Rule 1: a request passes because this says so as its last act; an error, a silence or any other answer passes nothing.
-- Rule 2: the guard is sent what the configuration wrote, and the client's Authorization: each value of it.
-- Rule 3: the body is not read.

local SENT = {
    "x-ssl-client-cert", "x-ssl-client-verify", "x-ssl-client-chain", "@SECRET_HEADER@",
    "x-original-uri", "x-original-method", "x-forwarded-for", "host", "authorization",
}
local IDENTITY = {
    "@EACH_IDENTITY@",
}
local REFUSALS = { [401] = "Unauthorized", [403] = "Forbidden" }
local REPEATED = { "www-authenticate", "content-type", "cache-control" }
local PATIENCE = 5000 -- milliseconds

local function ask(txn)
    local came, sent = txn.http:req_get_headers(), {}
    for _, name in ipairs(SENT) do
        sent[name] = came[name]
    end
    local place = txn:get_var("txn.certbound_guard")
    return core.httpclient():get{ url = "http://certbound-guard/", dst = place, headers = sent, timeout = PATIENCE }
end

-- The one value of a header, in visible signs; nil for none, for several, and for others.
local function value(answer, name)
    local found = answer.headers and answer.headers[name]
    if found and found[1] == nil and not found[0]:find("[^ -~]") then
        return found[0]
    end
end

-- Whether it came to its end.
local function whole(answer)
    return value(answer, "content-length") == tostring(#(answer.body or ""))
end

local function refuse(txn, answer)
    local reply = txn:reply{ status = answer.status, reason = REFUSALS[answer.status], body = answer.body }
    for _, name in ipairs(REPEATED) do
        for _, each in pairs(answer.headers[name] or {}) do
            reply:add_header(name, each)
        end
    end
    txn:done(reply)
end

-- Who calls, for the configuration to write: all of it, or false.
local function tell(txn, answer)
    for _, name in ipairs(IDENTITY) do
        local said = value(answer, name)
        if not said or not txn:set_var("txn." .. name:gsub("-", "_"), said) then
            return false
        end
    end
    return true
end

core.register_action("certbound_guard", { "http-req" }, function(txn)
    local answer = ask(txn)
    if not answer or not whole(answer) then
        return
    elseif REFUSALS[answer.status] then
        refuse(txn, answer)
    elseif answer.status == 200 and tell(txn, answer) then
        txn:set_var("txn.certbound_passes", "yes")
    end
end)
