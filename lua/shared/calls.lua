-- calls: who was called and has not come yet, in batches of a second. zset: "id:called_ms:deadline_ms:left" -> last turn.
--
-- A `lane` is a table of its keys: queue, line, calls, claimed, knocks; as many of them as what is called needs.
-- The room's `expected` says how many of the called, in all lanes, are counted on to come: all of the batches called a
-- moment ago (turn above the line's `settled_upto`), and of the elder ones whoever came and was told to come back (`knocks`).
local function batch_text(batch)
  return string.format('%d:%d:%d:%d', batch.id, batch.called_ms, batch.deadline_ms, batch.left)
end

local function batch_of(member, upto)
  local id, called_ms, deadline_ms, left = string.match(member, '^(%d+):(%d+):(%d+):(%d+)$')
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
  local member = batch_text(batch)
  redis.call('ZADD', calls, string.format('%.17g', batch.upto), member) -- first: an empty key would lose its end
  if batch.member and batch.member ~= member then
    redis.call('ZREM', calls, batch.member)
  end
  batch.member = member
end

local function batches(calls)
  local found, list = redis.call('ZRANGE', calls, 0, -1, 'WITHSCORES'), {}
  for i = 1, #found, 2 do
    list[#list + 1] = batch_of(found[i], found[i + 1])
  end
  return list
end

-- the batch that called `turn`, which has not lapsed; nil where Redis has lost it
local function batch_at(calls, turn)
  local found = redis.call('ZRANGEBYSCORE', calls, string.format('%.17g', turn), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  return found[1] and batch_of(found[1], found[2])
end

local function add_expected(room, by)
  local expected = tonumber(redis.call('HGET', room, 'expected') or 0)
  redis.call('HSET', room, 'expected', math.max(0, expected + by))
end

local function is_settled(lane, turn)
  return turn <= tonumber(redis.call('HGET', lane.line, 'settled_upto') or '-inf')
end

-- a called ticket came in, or left the line: its batch waits for one less
local function one_less(room, lane, ticket, turn)
  local batch = batch_at(lane.calls, turn)
  if batch then
    batch.left = math.max(0, batch.left - 1)
    keep_batch(lane.calls, batch)
  end
  if redis.call('ZREM', lane.knocks, ticket) == 1 or not is_settled(lane, turn) then
    add_expected(room, -1)
  end
end

-- a called ticket that had left the line is back: its batch waits for one more
local function one_more(room, lane, turn)
  local batch = batch_at(lane.calls, turn)
  if batch then
    batch.left = batch.left + 1
    keep_batch(lane.calls, batch)
    add_expected(room, is_settled(lane, turn) and 0 or 1)
  end
end

-- a called ticket came and is told to come back: its call lives `until_ms` at least, and it is counted on
local function knock(room, lane, ticket, turn, until_ms)
  local batch = batch_at(lane.calls, turn)
  if batch and batch.deadline_ms < until_ms then
    batch.deadline_ms = until_ms
    keep_batch(lane.calls, batch)
  end
  if redis.call('ZADD', lane.knocks, 'NX', string.format('%.17g', turn), ticket) == 1 and is_settled(lane, turn) then
    add_expected(room, 1)
  end
end

-- nobody could answer for a while: who was called has the whole window again, and is counted on again
local function call_again(room, lanes, now, window)
  local expected = 0
  for _, lane in ipairs(lanes) do
    local alive = batches(lane.calls)
    for _, batch in ipairs(alive) do
      batch.called_ms, batch.deadline_ms = now, math.max(batch.deadline_ms, now + window)
      keep_batch(lane.calls, batch)
      expected = expected + batch.left
    end
    if alive[1] then
      redis.call('HSET', lane.line, 'settled_upto', redis.call('HGET', lane.line, 'lapsed_upto') or '-inf')
    end
  end
  redis.call('HSET', room, 'expected', expected)
end
