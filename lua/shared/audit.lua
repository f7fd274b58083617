-- audit: write a change of a room down, for ninety days.
local KEEP_AUDIT_MS = 90 * 24 * 3600 * 1000

local function write_down(audit, now, change)
  redis.call('XADD', audit, 'MAXLEN', '~', '10000', '*', 'at_ms', string.format('%d', now), 'who', change.who,
    'what', change.what, 'value', change.value, 'before', change.before, 'why', change.why)
  redis.call('PEXPIRE', audit, KEEP_AUDIT_MS)
end
