-- calls: who was called and has not come yet, in batches of a second. zset: "id:called_ms:deadline_ms:left" -> last turn.
--
-- The line's `expected` says how many of them are counted on to come: all of the batches called a moment ago (turn above
-- `settled_upto`), and of the elder ones whoever came and was told to come back (`knocks`).
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

local function add_expected(line, by)
  local expected = tonumber(redis.call('HGET', line, 'expected') or 0)
  redis.call('HSET', line, 'expected', math.max(0, expected + by))
end

local function is_settled(line, turn)
  return turn <= tonumber(redis.call('HGET', line, 'settled_upto') or '-inf')
end

-- a called ticket came in, or left the line: its batch waits for one less
local function one_less(line, calls, knocks, ticket, turn)
  local batch = batch_at(calls, turn)
  if batch then
    batch.left = math.max(0, batch.left - 1)
    keep_batch(calls, batch)
  end
  if redis.call('ZREM', knocks, ticket) == 1 or not is_settled(line, turn) then
    add_expected(line, -1)
  end
end

-- a called ticket that had left the line is back: its batch waits for one more
local function one_more(line, calls, turn)
  local batch = batch_at(calls, turn)
  if batch then
    batch.left = batch.left + 1
    keep_batch(calls, batch)
    add_expected(line, is_settled(line, turn) and 0 or 1)
  end
end

-- a called ticket came and is told to come back: its call lives `until_ms` at least, and it is counted on
local function knock(line, calls, knocks, ticket, turn, until_ms)
  local batch = batch_at(calls, turn)
  if batch and batch.deadline_ms < until_ms then
    batch.deadline_ms = until_ms
    keep_batch(calls, batch)
  end
  if redis.call('ZADD', knocks, 'NX', string.format('%.17g', turn), ticket) == 1 and is_settled(line, turn) then
    add_expected(line, 1)
  end
end

-- nobody could answer for a while: who was called has the whole window again, and is counted on again
local function call_again(line, calls, now, window)
  local expected, alive = 0, batches(calls)
  for _, batch in ipairs(alive) do
    batch.called_ms, batch.deadline_ms = now, math.max(batch.deadline_ms, now + window)
    keep_batch(calls, batch)
    expected = expected + batch.left
  end
  if alive[1] then
    local lapsed_upto = redis.call('HGET', line, 'lapsed_upto') or '-inf'
    redis.call('HSET', line, 'expected', expected, 'settled_upto', lapsed_upto)
  end
end
