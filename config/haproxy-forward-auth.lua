-- Ask waitroom about a request, in HAProxy 2.5 or newer; nothing else has to be installed.
--
-- Sets txn.waitroom_pass, _cookie and _token where the request may pass, txn.waitroom_down where waitroom does not
-- answer. Anything else is answered here, with waitroom's own words, and goes no further.

-- What of a visitor's request tells who they are and how they want to be told no. Nothing else is sent along.
local SENT = { 'accept', 'authorization', 'cookie', 'sec-fetch-mode', 'upgrade', 'user-agent' }
-- What of waitroom's no concerns the visitor.
local SHOWN = { 'cache-control', 'content-security-policy', 'content-type', 'location', 'referrer-policy', 'retry-after',
  'vary', 'x-content-type-options' }

local function ask(txn, gate)
  local headers, sent = {}, txn.http:req_get_headers()
  for _, name in ipairs(SENT) do
    if sent[name] then
      headers[name] = {}
      for at, value in pairs(sent[name]) do  -- counts from 0
        headers[name][at + 1] = value
      end
    end
  end
  headers['x-forwarded-method'] = { txn.f:method() }
  headers['x-forwarded-proto'] = { txn.f:ssl_fc() == 1 and 'https' or 'http' }
  headers['x-forwarded-host'] = { txn.sf:req_hdr('host') }
  headers['x-forwarded-uri'] = { txn.f:pathq() }  -- as the visitor wrote it
  headers['x-forwarded-for'] = { txn.sf:src() }

  local url = 'http://' .. gate .. '/.waitroom/auth/redirect'
  local answer = core.httpclient():get({ url = url, headers = headers, timeout = 5000 })
  local found = answer and answer.headers or {}
  if answer and answer.status == 200 then
    if found['waitroom-pass'] then
      txn:set_var('txn.waitroom_pass', found['waitroom-pass'][0])
    end
    if found['set-cookie'] then
      txn:set_var('txn.waitroom_cookie', found['set-cookie'][0])
    end
    if found['waitroom-token'] then
      txn:set_var('txn.waitroom_token', found['waitroom-token'][0])
    end
    txn.http:req_del_header('cookie')  -- the store gets the visitor's cookies without waitroom's
    if found['cookie'] then
      txn.http:req_add_header('cookie', found['cookie'][0])
    end
    return
  end
  -- HAProxy makes up a 503 of its own where nobody answers. Each of waitroom's says no-store, and when to come back.
  local is_told = found['cache-control'] and found['cache-control'][0] == 'no-store'
  if not answer or not is_told or answer.status == 500 then
    txn:set_var('txn.waitroom_down', true)
    return
  end
  local reply = txn:reply({ status = answer.status })
  for _, name in ipairs(SHOWN) do
    if found[name] then
      reply:add_header(name, found[name][0])
    end
  end
  if answer.body then
    reply:set_body(answer.body)
  end
  txn:done(reply)
end

core.register_action('ask-waitroom', { 'http-req' }, ask, 1)
