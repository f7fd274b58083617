-- revoke: ops end one session and write it down; its pass is worth nothing from here on.
--
-- KEYS[1]  sessions  zset    session id -> end, ms since 1970
-- KEYS[2]  revoked   zset    session id -> until when it is remembered, ms since 1970
-- KEYS[3]  room      hash    the room: how often ops changed it
-- KEYS[4]  audit     stream  every change
-- ARGV[1]  session   text    session id
-- ARGV[2]  now       ms      0 = the clock of Redis
-- ARGV[3]  remember_until  ms  how long its pass would still verify, ms since 1970
-- ARGV[4]  who       text
-- ARGV[5]  why       text
-- REPLY    "revoked"         whether or not it was inside; sent again, it is written down once
-- @include shared/clock
-- @include shared/audit
local sessions, revoked, room, audit = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local session, now, remember_until, who, why = ARGV[1], clock_ms(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]

redis.call('ZREMRANGEBYSCORE', revoked, '-inf', string.format('%d', now))
local is_news = redis.call('ZSCORE', revoked, session) == false
redis.call('ZADD', revoked, 'GT', remember_until, session)
redis.call('PEXPIRE', revoked, 2 * 24 * 3600 * 1000) -- longer than any pass lives
local was_inside = redis.call('ZREM', sessions, session) == 1
if is_news or was_inside then
  local before = was_inside and 'inside' or 'not inside'
  write_down(audit, now, { who = who, what = 'revoke', value = session, before = before, why = why })
  if redis.call('HEXISTS', room, 'generation') == 1 then
    redis.call('HINCRBY', room, 'revision', 1)
  end
end
return { 'revoked' }
