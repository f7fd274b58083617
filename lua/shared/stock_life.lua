-- Fail closed: go on only when this stock is loaded, open, and in the life (epoch) that the caller knows.
local life = redis.call('HMGET', st, 'epoch', 'state', 'avail', 'mut')
if not life[1] then
  return { 'unloaded' }
end
if life[1] ~= epoch then
  return { 'fenced' }
end
if life[2] ~= 'open' then
  return { 'unloaded' }
end
local avail, mut = tonumber(life[3]), tonumber(life[4])
if not avail or not mut then -- no numbers any more: put it back from the ledger
  return { 'unloaded' }
end
