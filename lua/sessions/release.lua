-- release: end a session before its time: checkout done, shopper left, ops. Its pass is worth nothing from here on.
--
-- KEYS[1]  sessions  zset  session id -> end, ms since 1970
-- KEYS[2]  revoked   zset  session id -> until when it is remembered, ms since 1970
-- ARGV[1]  session   text  session id
-- ARGV[2]  now       ms    0 = the clock of Redis
-- ARGV[3]  remember_until  ms  how long its pass would still verify, ms since 1970
-- REPLY    "released"      it was inside
-- REPLY    "unknown"       it was not, or not any more; its pass is remembered as revoked all the same
-- @include shared/clock
local sessions, revoked = KEYS[1], KEYS[2]
local session, now, remember_until = ARGV[1], clock_ms(ARGV[2]), ARGV[3]

redis.call('ZREMRANGEBYSCORE', revoked, '-inf', string.format('%d', now))
redis.call('ZADD', revoked, 'GT', remember_until, session)
redis.call('PEXPIRE', revoked, 2 * 24 * 3600 * 1000) -- longer than any pass lives
return { redis.call('ZREM', sessions, session) == 1 and 'released' or 'unknown' }
