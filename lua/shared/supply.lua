-- supply: what the store behind still has to sell, as it reports itself (`rooms/stock`); whoever admits heeds it.
--
-- In the room: stock, "left:held:said_ms:heard_ms" (units that are free, units that are set aside and may come back).
-- While that counts: may_buy (how many more may be called, or come straight in, until the next tick), gone (1 while nothing is
-- left and nothing can come back), came ("left:taken;" as of the last tick, then "ms:count:taken" a few times: how many had
-- come in by then, and how many units had been taken since the store reports).
local MARKS = 4 -- in so many steps those who came in a moment ago are forgotten

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

-- how many of all who were `admitted` came in a moment ago and may still buy: so many have not taken a unit since
local function undecided(room, came, admitted, left, now, deciding)
  local before, taken = string.match(came or '', '^(%d+):(%d+);')
  local marks, text = {}, {}
  taken = tonumber(taken or 0) + math.max(0, tonumber(before or left) - left)
  for ms, count, by_then in string.gmatch(came or '', '(%d+):(%d+):(%d+)') do
    if tonumber(count) <= admitted then -- else it was counted in another event, or before a loss
      marks[#marks + 1] = { ms = tonumber(ms), count = tonumber(count), taken = tonumber(by_then) }
    end
  end
  while marks[2] and now - marks[2].ms >= deciding do
    table.remove(marks, 1)
  end
  if not marks[1] or now - marks[#marks].ms >= deciding / MARKS then
    marks[#marks + 1] = { ms = now, count = admitted, taken = taken }
  end
  for i, mark in ipairs(marks) do
    text[i] = string.format('%d:%d:%d', mark.ms, mark.count, mark.taken)
  end
  local told = string.format('%d:%d;%s', left, taken, table.concat(text, ' '))
  if told ~= came then
    redis.call('HSET', room, 'came', told)
  end
  return math.max(0, admitted - marks[1].count - (taken - marks[1].taken))
end
