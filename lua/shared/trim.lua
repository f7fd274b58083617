-- trim: forget who lapsed long ago, so that a line which never ends does not grow for ever; a few in each tick.
--
-- In the line: mark_upto and mark_ms say who had lapsed when; once that is `terms.trim` ago, trim_upto says up to where to
-- forget. Only who stands behind the draw is forgotten (scores from 1 up): the draw must be there for its proof.
local TRIM = 500 -- at most so many at once: Redis answers nobody else meanwhile

-- how many are left to forget
local function trim_key(key, upto)
  local before, count = redis.call('ZCOUNT', key, '-inf', '(1'), redis.call('ZCOUNT', key, '1', upto)
  if count > 0 then
    redis.call('ZREMRANGEBYRANK', key, before, before + math.min(count, TRIM) - 1)
  end
  return math.max(0, count - TRIM)
end

local function trim_lapsed(lane, terms)
  local l = redis.call('HMGET', lane.line, 'lapsed_upto', 'mark_upto', 'mark_ms', 'trim_upto', 'no_return_upto')
  local lapsed_upto = tonumber(l[1] or '-inf')
  if lapsed_upto >= 1 and (not l[2] or terms.now - tonumber(l[3]) >= terms.trim) then
    redis.call('HSET', lane.line, 'mark_upto', l[1], 'mark_ms', string.format('%d', terms.now))
    if l[2] then
      l[4] = l[2]
      redis.call('HSET', lane.line, 'trim_upto', l[2])
      if tonumber(l[2]) > tonumber(l[5] or '-inf') then
        redis.call('HSET', lane.line, 'no_return_upto', l[2]) -- nobody knows any more who of them had come in
      end
    end
  end
  if l[4] and trim_key(lane.queue, l[4]) + trim_key(lane.claimed, l[4]) == 0 then
    redis.call('HDEL', lane.line, 'trim_upto')
  end
end
