-- stock: hear from the store behind what it still has to sell; the next tick heeds it.
--
-- A report counts once, and only if the store made it after the last one that counted: whatever comes twice, late or out
-- of turn changes nothing.
--
-- KEYS[1]  room  hash    the room: limits, flags, what was reported
-- ARGV[1]  now   ms      0 = the clock of Redis
-- ARGV[2]  left  number  units that are free
-- ARGV[3]  held  number  units that are set aside, and may come back
-- ARGV[4]  said  ms      when the store made this report, by its own clock
-- REPLY    "taken"
-- REPLY    "known"       this report, or a later one, was heard before
-- REPLY    "unloaded"    the room has no state: tick first
-- @include shared/clock
-- @include shared/supply
local room = KEYS[1]
local now, left, held, said = clock_ms(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local r = redis.call('HMGET', room, 'generation', 'stock')
if not r[1] then
  return { 'unloaded' }
end
local last = supply_of(r[2])
if last and said <= last.said_ms then
  return { 'known' }
end
redis.call('HSET', room, 'stock', supply_text({ left = left, held = held, said_ms = said, heard_ms = now }))
return { 'taken' }
