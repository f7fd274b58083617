-- order: the order of service in a lane. Its four segments: (-inf,0), [spin,1), [0,spin), [1,+inf).
-- A turn is a score moved into that order, so that turns only grow as the line moves on.
local function number_text(number)
  return string.format('%.17g', number)
end

local function turn_of(score, spin)
  if score >= 0 and score < 1 then
    return (score - spin) % 1
  end
  return score
end

-- how many in `queue` have a turn of at most `turn`
local function count_upto(queue, turn, spin)
  if turn == -math.huge then
    return 0 -- nobody was called yet
  end
  if turn < 0 or turn >= 1 or spin == 0 then
    return redis.call('ZCOUNT', queue, '-inf', number_text(turn))
  end
  local heads = redis.call('ZCOUNT', queue, '-inf', '(0')
  local last = spin + turn
  if last < 1 then
    return heads + redis.call('ZCOUNT', queue, number_text(spin), number_text(last))
  end
  return heads + redis.call('ZCOUNT', queue, number_text(spin), '(1')
    + redis.call('ZCOUNT', queue, '0', number_text(last - 1))
end

-- the turn of the one who is number `place` (1 is the first in line), or nil
local function turn_at(queue, place, spin)
  local index = place - 1
  if spin ~= 0 then
    local heads = redis.call('ZCOUNT', queue, '-inf', '(0')
    local until_spin = redis.call('ZCOUNT', queue, '-inf', '(' .. number_text(spin))
    local until_tail = redis.call('ZCOUNT', queue, '-inf', '(1')
    local after_spin = until_tail - until_spin
    if index >= heads and index < heads + after_spin then
      index = until_spin + index - heads
    elseif index >= heads and index < until_tail then
      index = index - after_spin
    end
  end
  local found = redis.call('ZRANGE', queue, index, index, 'WITHSCORES')
  return found[2] and turn_of(tonumber(found[2]), spin)
end
