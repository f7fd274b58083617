-- calls: who was called and has not come yet, in batches of a second. zset: "id:called_ms:deadline_ms:left" -> last turn.
local function batch_text(batch)
  return string.format('%d:%d:%d:%d', batch.id, batch.called_ms, batch.deadline_ms, batch.left)
end

local function batch_of(member, upto)
  local id, called_ms, deadline_ms, left = string.match(member, '^(%d+):(%d+):(%d+):(%-?%d+)$')
  return {
    member = member,
    upto = tonumber(upto),
    id = tonumber(id),
    called_ms = tonumber(called_ms),
    deadline_ms = tonumber(deadline_ms),
    left = tonumber(left),
  }
end

local function keep_batch(calls, batch)
  if batch.member then
    redis.call('ZREM', calls, batch.member)
  end
  redis.call('ZADD', calls, string.format('%.17g', batch.upto), batch_text(batch))
end

local function batches(calls)
  local found, list = redis.call('ZRANGE', calls, 0, -1, 'WITHSCORES'), {}
  for i = 1, #found, 2 do
    list[#list + 1] = batch_of(found[i], found[i + 1])
  end
  return list
end

-- one of the called came in, or left the line: its batch waits for one less
local function one_less(calls, turn)
  local found = redis.call('ZRANGEBYSCORE', calls, string.format('%.17g', turn), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if found[1] then
    local batch = batch_of(found[1], found[2])
    batch.left = math.max(0, batch.left - 1)
    keep_batch(calls, batch)
  end
end
