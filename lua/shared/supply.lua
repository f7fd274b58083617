-- supply: what the store behind still has to sell, as it reports itself (`rooms/stock`); whoever admits heeds it.
--
-- In the room: stock, "left:held:said_ms:heard_ms" (units that are free, units that are set aside and may come back).
-- While that counts: may_buy (how many more may be called, or come straight in, until the next tick), gone (1 while nothing is
-- left and nothing can come back), came ("left:admitted;" as of the last tick, then "ms:people" for those who came in by
-- and by, and are about to buy).
local STEPS = 4 -- those who came in within such a part of their time are one group

local function supply_of(text)
  local left, held, said_ms, heard_ms = string.match(text or '', '^(%d+):(%d+):(%d+):(%d+)$')
  return left and {
    left = tonumber(left),
    held = tonumber(held),
    said_ms = tonumber(said_ms),
    heard_ms = tonumber(heard_ms),
  }
end

local function supply_text(supply)
  return string.format('%d:%d:%d:%d', supply.left, supply.held, supply.said_ms, supply.heard_ms)
end

-- after a loss: what a worker remembers of the stock, where the store has not said anything since
local function recall_supply(room, text)
  local seen, held = supply_of(text), supply_of(redis.call('HGET', room, 'stock'))
  if seen and (not held or seen.said_ms > held.said_ms) then
    redis.call('HSET', room, 'stock', text)
  end
end

-- how many of those who came in a moment ago may still buy; what is taken, is taken by who came first of them
local function undecided(room, came, admitted, left, now, deciding)
  local had, count, rest = string.match(came or '', '^(%d+):(%d+);(.*)$')
  local arrived, taken = math.max(0, admitted - (count or admitted)), math.max(0, (had or left) - left)
  local groups, kept, all = {}, {}, 0
  for ms, people in string.gmatch(rest or '', '(%d+):(%d+)') do
    groups[#groups + 1] = { ms = tonumber(ms), people = tonumber(people) }
  end
  local newest = groups[#groups]
  if arrived > 0 and newest and now - newest.ms < deciding / STEPS then
    newest.people = newest.people + arrived
  elseif arrived > 0 then
    groups[#groups + 1] = { ms = now, people = arrived }
  end
  for _, group in ipairs(groups) do
    local bought = math.min(group.people, taken)
    group.people, taken = group.people - bought, taken - bought
    if group.people > 0 and now - group.ms < deciding then
      all, kept[#kept + 1] = all + group.people, string.format('%d:%d', group.ms, group.people)
    end
  end
  local text = string.format('%d:%d;%s', left, admitted, table.concat(kept, ' '))
  if text ~= came then
    redis.call('HSET', room, 'came', text)
  end
  return all
end
