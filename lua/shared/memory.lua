-- memory: what each worker carries from one tick to the next and gives back with it, so that Redis may lose its data.
--
-- In the room: beats (grows with every tick that changed something), lives (the generations before this one that it goes on
-- from), healed_beats, healed_sessions and healed_called (how far the memory went that was put back). After a loss nobody is
-- called before as many wait as did (gather_for), or before they had the time to come back (gather_until_ms).
local ROOM_KEPT = {
  'rate_by_ops', 'cap_by_ops', 'message', 'paused', 'ended', 'sold_out', 'closed', 'open_until_ms',
  'revoked_before_ms', 'last_change', 'last_before',
}
local DRAW_KEPT = { 'commitment', 'spin', 'spin_source', 'drawn_ms', 'roster_root', 'roster_count' }
local LANE_KEPT = { 'serving', 'lapsed_upto', 'called', 'admitted', 'lapsed', 'batches', 'heads', 'show_up_ratio' }
local LIVES_LENGTH = 400
local SPREAD_MS = 30000 -- over how long the pages spread what they ask after a loss, at most

local function kept_of(key, fields)
  local held, found = redis.call('HMGET', key, unpack(fields)), {}
  for i, name in ipairs(fields) do
    found[name] = held[i] or nil
  end
  return found
end

-- how many of those who waited before a loss are not back yet, while they may be
local function missing_from(room, now, waiting)
  local held = redis.call('HMGET', room, 'gather_until_ms', 'gather_for')
  if not held[1] or now >= tonumber(held[1]) then
    return 0
  end
  return math.max(0, tonumber(held[2]) - waiting)
end

-- `lanes` begins with main, as a tick has looked at them
local function memory_text(room, sessions, lanes, event, now)
  local waiting, grown = 0, {}
  for _, lane in ipairs(lanes) do
    waiting = waiting + lane.waiting
    grown[lane.name] = lane.is_used and kept_of(lane.line, LANE_KEPT) or nil
  end
  local last = redis.call('ZREVRANGE', sessions, 0, 0, 'WITHSCORES')
  local r = redis.call('HMGET', room, 'generation', 'beats', 'revision', 'unseen_until_ms', 'stock')
  return cjson.encode({
    event = event,
    generation = r[1],
    beats = tonumber(r[2] or 0),
    revision = tonumber(r[3] or 0),
    waiting = waiting + missing_from(room, now, waiting),
    sessions = inside(room, sessions, now),
    sessions_until_ms = string.format('%d', math.max(tonumber(last[2] or 0), tonumber(r[4] or 0))),
    room = kept_of(room, ROOM_KEPT),
    stock = r[5] or nil,
    draw = kept_of(lanes[1].line, DRAW_KEPT),
    lanes = grown,
  })
end

-- what ops said
local function recall_control(room, memory)
  for _, name in ipairs(ROOM_KEPT) do
    if memory.room[name] then
      redis.call('HSET', room, name, memory.room[name])
    else
      redis.call('HDEL', room, name)
    end
  end
  redis.call('HSET', room, 'revision', memory.revision)
end

local function recall_draw(line, memory)
  for name, value in pairs(memory.draw) do
    redis.call('HSET', line, name, value)
  end
end

-- the batch that began before `lapsed_upto` waits for those above it only
local function shorten_first_batch(lane, lapsed_upto, spin)
  local found = redis.call('ZRANGE', lane.calls, 0, 0, 'WITHSCORES')
  if not found[1] then
    return
  end
  local batch, from = batch_of(found[1], found[2]), '(' .. lapsed_upto
  local called = count_upto(lane.queue, batch.upto, spin) - count_upto(lane.queue, tonumber(lapsed_upto), spin)
  batch.left, batch.knocked = called - redis.call('ZCOUNT', lane.claimed, from, found[2]), 0
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', lane.knocks, from, found[2])) do
    local kind = string.sub(member, 1, 1) == '+' and 'left' or 'knocked' -- shared/returns
    batch[kind] = batch[kind] + 1
  end
  keep_batch(lane.calls, batch)
end

-- the threshold of a lane and its counts only grow: the later of what is there and what was remembered (a ratio goes both
-- ways); whoever was called is called
local function recall_lane(lane, grown, now, window)
  local since = tonumber(redis.call('HGET', lane.line, 'serving') or '-inf')
  for name, value in pairs(grown) do
    local held = redis.call('HGET', lane.line, name)
    if not held or name == 'show_up_ratio' or tonumber(value) > tonumber(held) then
      redis.call('HSET', lane.line, name, value)
    end
  end
  local l = redis.call('HMGET', lane.line, 'serving', 'lapsed_upto', 'spin')
  if not l[1] then
    return
  end
  local serving, lapsed_upto, spin = tonumber(l[1]), l[2] or '-inf', tonumber(l[3] or 0)
  redis.call('HSET', lane.line, 'no_return_upto', l[1]) -- nobody knows who of them had come in (shared/returns)
  for _, key in ipairs({ lane.calls, lane.knocks }) do
    redis.call('ZREMRANGEBYSCORE', key, '-inf', lapsed_upto)
  end
  shorten_first_batch(lane, lapsed_upto, spin)
  since = math.max(since, tonumber(lapsed_upto))
  if serving > since then
    local left = count_upto(lane.queue, serving, spin) - count_upto(lane.queue, since, spin)
    local batch = new_batch(lane, now)
    batch.left, batch.deadline_ms, batch.upto = left, now + window, serving
    keep_batch(lane.calls, batch)
  end
end

-- seats of sessions that Redis has lost stay taken until a pass shows that its session is alive, or could be no more
local function recall_sessions(room, sessions, memory, now, is_more)
  local held = redis.call('HMGET', room, 'unseen', 'unseen_until_ms', 'healed_sessions')
  local known = is_more and tonumber(held[3] or 0) or inside(room, sessions, now)
  local lost = math.max(0, memory.sessions - known)
  if lost > 0 then
    local until_ms = math.max(tonumber(held[2] or 0), tonumber(memory.sessions_until_ms))
    redis.call('HSET', room, 'unseen', unseen(room, now) + lost, 'unseen_until_ms', string.format('%d', until_ms))
  end
  redis.call('HSET', room, 'healed_sessions', math.max(memory.sessions, is_more and known or 0))
end

local function called_of(lanes)
  local all = 0
  for _, lane in ipairs(lanes) do
    all = all + tonumber(redis.call('HGET', lane.line, 'called') or 0)
  end
  return all
end

-- how many were called since the first worker put something back: they are missing no more
local function called_since_loss(room, lanes)
  local all = called_of(lanes)
  return all - tonumber(redis.call('HGET', room, 'healed_called') or all)
end

-- wait until `count` are back in line, or had the time for it
local function gather(room, lanes, count, from)
  local now, regather = from[1], from[2]
  redis.call('HSET', room, 'healed_called', called_of(lanes))
  if count > 0 then
    local until_ms = now + regather + math.min(SPREAD_MS, count / 5)
    redis.call('HSET', room, 'gather_until_ms', string.format('%d', until_ms), 'gather_for', count)
  end
end

-- another life, which goes on from those before it: pages that see a new generation present their tickets again
local function begin_life(room, newborn, generation, memory)
  local before = redis.call('HGET', room, 'lives') or ''
  if generation ~= newborn then
    before = before .. ' ' .. generation
    redis.call('HSET', room, 'generation', newborn)
  end
  local lives = before .. ' ' .. memory.generation .. ' '
  redis.call('HSET', room, 'lives', string.sub(lives, -LIVES_LENGTH))
end
