-- freeze: keep the hash of everybody who was in the draw, once; one worker at a time works it out.
--
-- KEYS[1]  line    hash    the event: draw
-- ARGV[1]  now     ms      0 = the clock of Redis
-- ARGV[2]  starts  ms      the opening
-- ARGV[3]  worker  text    who asks
-- ARGV[4]  root    text    Merkle root, in hex; empty = not worked out yet
-- ARGV[5]  count   number  of tickets below it
-- ARGV[6]  lease   ms      how long a worker may take before another one tries
-- REPLY    "frozen", root, count   what counts, now and for ever; perhaps not what was brought
-- REPLY    "yours"         work it out and come back
-- REPLY    "busy"          another worker is at it
-- REPLY    "early"         the opening is still to come
-- REPLY    "lost"          Redis lost the line since, and with it who left or came after the opening
-- @include shared/clock
local line = KEYS[1]
local now, starts, worker = clock_ms(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local root, count, lease = ARGV[4], ARGV[5], tonumber(ARGV[6])

local l = redis.call('HMGET', line, 'drawn_ms', 'born_ms', 'roster_root', 'roster_count', 'roster_worker',
  'roster_until_ms')
if l[3] then
  return { 'frozen', l[3], tonumber(l[4]) }
end
if not l[1] then
  return { 'early' }
end
if root ~= '' then
  redis.call('HSET', line, 'roster_root', root, 'roster_count', count)
  return { 'frozen', root, tonumber(count) }
end
if tonumber(l[2]) >= starts then
  return { 'lost' }
end
if l[5] and l[5] ~= worker and now < tonumber(l[6]) then
  return { 'busy' }
end
redis.call('HSET', line, 'roster_worker', worker, 'roster_until_ms', string.format('%d', now + lease))
return { 'yours' }
