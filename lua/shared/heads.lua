-- heads: how many kept the order of their coming before the draw. The line remembers the most there ever were, so that
-- whoever comes right after a loss takes no place of those who are not back yet.
local function heads_in(queue)
  return redis.call('ZCOUNT', queue, '-inf', '(0')
end

local function heads_taken(line, queue)
  return math.max(tonumber(redis.call('HGET', line, 'heads') or 0), heads_in(queue))
end

local function note_heads(line, queue)
  local count = heads_in(queue)
  if count > tonumber(redis.call('HGET', line, 'heads') or 0) then
    redis.call('HSET', line, 'heads', count)
  end
end
