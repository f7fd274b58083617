-- spin: turn the draw, once, after the opening and before anybody is called.
--
-- Any worker may bring the spin: the first that comes counts, for all.
--
-- KEYS[1]  line    hash    the event: serving threshold, draw
-- KEYS[2]  audit   stream  every change
-- ARGV[1]  now     ms      0 = the clock of Redis
-- ARGV[2]  spin    number  in [0,1)
-- ARGV[3]  source  text    where it came from
-- ARGV[4]  who     text    for the audit
-- ARGV[5]  value   text
-- ARGV[6]  why     text
-- REPLY    "spun", spin, source   what turns the draw, now and for ever; perhaps not what was brought
-- REPLY    "early"         the opening is still to come
-- REPLY    "late"          somebody was called already
-- @include shared/clock
-- @include shared/audit
local line, audit = KEYS[1], KEYS[2]
local now, spin, source = clock_ms(ARGV[1]), ARGV[2], ARGV[3]
local who, value, why = ARGV[4], ARGV[5], ARGV[6]

local l = redis.call('HMGET', line, 'drawn_ms', 'serving', 'spin', 'spin_source')
if l[4] then
  return { 'spun', l[3], l[4] }
end
if not l[1] then
  return { 'early' }
end
if l[2] ~= '-inf' then
  return { 'late' }
end
redis.call('HSET', line, 'spin', spin, 'spin_source', source)
write_down(audit, now, { who = who, what = 'spin', value = value, before = '', why = why })
return { 'spun', spin, source }
