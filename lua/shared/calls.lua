-- calls: who was called and has not come yet, in batches of a second. zset:
-- "id:called_ms:deadline_ms:left:size:due:knocked" -> last turn.
--
-- Of a batch: `left` have not come in; of these `due` at least are counted on to come, and `knocked` came and were told to
-- come back; `size` were called, 0 once it is known how many of them came (shared/showup).
-- A `lane` is a table of its keys: queue, line, calls, claimed, knocks; as many of them as what is called needs.
-- The room's `expected` says how many of the called, in all lanes, are counted on to come: of the batches called a moment
-- ago (turn above the line's `settled_upto`) as many as are due, of all whoever came and was told to come back (`knocks`).
local function batch_text(batch)
  return string.format('%d:%d:%d:%d:%d:%d:%d', batch.id, batch.called_ms, batch.deadline_ms, batch.left, batch.size,
    batch.due, batch.knocked)
end

local function batch_of(member, upto)
  local id, called_ms, deadline_ms, left, size, due, knocked =
    string.match(member, '^(%d+):(%d+):(%d+):(%d+):(%d+):(%d+):(%d+)$')
  return {
    member = member,
    upto = tonumber(upto),
    id = tonumber(id),
    called_ms = tonumber(called_ms),
    deadline_ms = tonumber(deadline_ms),
    left = tonumber(left),
    size = tonumber(size),
    due = tonumber(due),
    knocked = tonumber(knocked),
  }
end

local function new_batch(lane, now)
  local id = redis.call('HINCRBY', lane.line, 'batches', 1)
  return { id = id, called_ms = now, deadline_ms = now, left = 0, size = 0, due = 0, knocked = 0 }
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

-- whoever is counted on from now on brings no tokens along for which the bucket had no room before
local function add_expected(room, by, now)
  if by > 0 then
    keep_tokens(room, refilled(room, now), now)
  end
  local expected = tonumber(redis.call('HGET', room, 'expected') or 0)
  redis.call('HSET', room, 'expected', math.max(0, expected + by))
end

local function counted_on(batch, settled_upto)
  return batch.upto <= settled_upto and batch.knocked or math.max(batch.due, batch.knocked)
end

-- the share of those called who come in, as far as it is known
local function show_up_ratio(lane)
  return tonumber(redis.call('HGET', lane.line, 'show_up_ratio') or 1)
end

-- how many of `called` are counted on to come
local function due_of(lane, called)
  return math.ceil(called * show_up_ratio(lane) - 1e-9)
end

-- change the batch that called `turn` by some numbers, and with it how many are counted on
local function add_to_batch(room, lane, turn, change, now)
  local batch = batch_at(lane.calls, turn)
  if batch then
    local settled_upto = tonumber(redis.call('HGET', lane.line, 'settled_upto') or '-inf')
    local before = counted_on(batch, settled_upto)
    for name, by in pairs(change) do
      batch[name] = math.max(0, batch[name] + by)
    end
    keep_batch(lane.calls, batch)
    add_expected(room, counted_on(batch, settled_upto) - before, now)
  end
end

-- a called ticket came in, or left the line: its batch waits for one less
local function one_less(room, lane, ticket, turn, now)
  add_to_batch(room, lane, turn, { left = -1, due = -1, knocked = -redis.call('ZREM', lane.knocks, ticket) }, now)
end

-- a called ticket that had left the line is back: its batch waits for one more
local function one_more(room, lane, turn, now)
  add_to_batch(room, lane, turn, { left = 1, due = 1 }, now)
end

-- a called ticket came and is told to come back: its call lives `until_ms` at least, and it is counted on
local function knock(room, lane, ticket, turn, until_ms, now)
  local batch = batch_at(lane.calls, turn)
  local more_ms = batch and math.max(0, until_ms - batch.deadline_ms) or 0
  local is_new = redis.call('ZADD', lane.knocks, 'NX', string.format('%.17g', turn), ticket)
  if is_new + more_ms > 0 then
    add_to_batch(room, lane, turn, { deadline_ms = more_ms, knocked = is_new }, now)
  end
end

-- nobody could answer for a while: who was called has the whole window again, and is counted on again
local function call_again(room, lanes, now, window)
  local expected = 0
  for _, lane in ipairs(lanes) do
    local alive, settled_upto = batches(lane.calls), redis.call('HGET', lane.line, 'lapsed_upto') or '-inf'
    for _, batch in ipairs(alive) do
      batch.called_ms, batch.deadline_ms = now, math.max(batch.deadline_ms, now + window)
      batch.due = due_of(lane, batch.left)
      keep_batch(lane.calls, batch)
      expected = expected + counted_on(batch, tonumber(settled_upto))
    end
    if alive[1] then
      redis.call('HSET', lane.line, 'settled_upto', settled_upto)
    end
  end
  redis.call('HSET', room, 'expected', expected)
end
