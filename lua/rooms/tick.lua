-- tick: let time pass in a room: end what ran out, refill the rate, call as many as may come in.
--
-- Any worker may call it, as often as it likes: what is due depends on the time that passed, never on who asks.
--
-- KEYS[1]  room        hash    the room: generation, limits, rate bucket, flags of ops
-- KEYS[2]  sessions    zset    session id -> end, ms since 1970
-- KEYS[3]  log         stream  every move of a threshold
-- KEYS[4]  queue       zset    lane main: ticket id -> score
-- KEYS[5]  line        hash    lane main: serving threshold, counts; the draw of the event
-- KEYS[6]  calls       zset    lane main: batches of called tickets -> last turn
-- KEYS[7]  claimed     zset    lane main: ticket id -> turn, of tickets that came in, or were called once more
-- KEYS[8]  knocks      zset    lane main: ticket id -> turn, of called tickets that were told to come back
-- KEYS[9]  queue       zset    lane priority
-- KEYS[10] line        hash    lane priority
-- KEYS[11] calls       zset    lane priority
-- KEYS[12] claimed     zset    lane priority
-- KEYS[13] knocks      zset    lane priority
-- KEYS[14] queue       zset    lane slow
-- KEYS[15] line        hash    lane slow
-- KEYS[16] calls       zset    lane slow
-- KEYS[17] claimed     zset    lane slow
-- KEYS[18] knocks      zset    lane slow
-- ARGV[1]  now         ms      0 = the clock of Redis
-- ARGV[2]  event       text    the event that counts now
-- ARGV[3]  prequeue    ms      its times; empty = not set
-- ARGV[4]  starts      ms
-- ARGV[5]  ends        ms
-- ARGV[6]  rate        number  admissions a minute, unless ops said otherwise
-- ARGV[7]  cap         number  sessions at most, unless ops said otherwise
-- ARGV[8]  window      ms      how long a called ticket has to come in
-- ARGV[9]  settle      ms      how long a called ticket is counted on to come
-- ARGV[10] newborn     text    generation, should this room have no state
-- ARGV[11] commitment  text    of the draw's seed, should none be kept yet
-- ARGV[12] keep        ms      how long the state of an event outlives its last tick
-- ARGV[13] awaited     ms      until when the spin of the draw is awaited, and nobody called; empty = there is none
-- ARGV[14] unspun      text    what to tell of a draw that went on without a spin
-- ARGV[15] memory      text    the last element of the last reply to this worker; empty = it has none
-- ARGV[16] regather    ms      how long those who wait need to present their tickets again, should Redis have lost them
-- ARGV[17] trim        ms      how long a ticket whose call lapsed is remembered, at least
-- ARGV[18] priority    number  weight of lane priority, where main and slow have 1 together
-- ARGV[19] slow_share  ratio   the most of all calls that go to lane slow while anybody else could be called
-- ARGV[20] lasts       ms      how long a report of the store behind counts
-- ARGV[21] deciding    ms      how long somebody who came in is counted on to buy
-- REPLY    "ticked", generation, phase, now, lanes, sessions, outstanding, admitted, lapsed,
--          rate, cap, message, revision, commitment, spin, rate in force, health ratio, circuit, circuit since,
--          spin source, roster root, roster count, closed, open until, revoked before, show-up ratio of main,
--          stock, memory; lanes: name, serving, called, waiting of main and each other that is used; stock: left, held,
--          may buy, or nothing where no report counts
-- @include shared/clock
-- @include shared/order
-- @include shared/phase
-- @include shared/bucket
-- @include shared/inside
-- @include shared/calls
-- @include shared/health
-- @include shared/showup
-- @include shared/lane
-- @include shared/shares
-- @include shared/memory
-- @include shared/supply
-- @include shared/trim
-- @include shared/heads
local room, sessions, log = KEYS[1], KEYS[2], KEYS[3]
local main = {
  name = 'main', queue = KEYS[4], line = KEYS[5], calls = KEYS[6], claimed = KEYS[7], knocks = KEYS[8],
}
local priority = {
  name = 'priority', queue = KEYS[9], line = KEYS[10], calls = KEYS[11], claimed = KEYS[12], knocks = KEYS[13],
}
local slow = {
  name = 'slow', queue = KEYS[14], line = KEYS[15], calls = KEYS[16], claimed = KEYS[17], knocks = KEYS[18],
}
local lanes, line = { main, priority, slow }, main.line
local now, event = clock_ms(ARGV[1]), ARGV[2]
local times = { prequeue = ARGV[3], starts = ARGV[4], ends = ARGV[5] }
local rate, cap, window, settle = ARGV[6], ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local newborn, commitment, keep = ARGV[10], ARGV[11], tonumber(ARGV[12])
local awaited, unspun = tonumber(ARGV[13]), ARGV[14]
local memory, regather = ARGV[15] ~= '' and cjson.decode(ARGV[15]), tonumber(ARGV[16])
local weights = { priority = tonumber(ARGV[18]), slow_share = tonumber(ARGV[19]) }
local lasts, deciding = tonumber(ARGV[20]), tonumber(ARGV[21])
local terms = {
  now = now, starts = tonumber(times.starts) or 0, window = window, settle = settle, log = log, trim = tonumber(ARGV[17]),
}
local REMEMBER_MS = 5000 -- where Redis lost a spin, this is enough for a worker that has seen it to tick

local function be_born()
  if redis.call('HSETNX', room, 'generation', newborn) == 1 then
    redis.call('HSET', room, 'tokens', '1', 'refilled_ms', string.format('%d', now), 'revision', '0', 'message', '')
  end
end

-- where this worker remembers more than Redis holds, Redis has lost it: put it back
local function heal()
  local r = redis.call('HMGET', room, 'generation', 'beats', 'revision', 'lives', 'healed_beats')
  local is_followed = string.find(r[4] or '', ' ' .. memory.generation .. ' ', 1, true)
  local is_same_event = memory.event == event
  local is_behind = memory.beats > tonumber(is_followed and r[5] or r[2] or 0)
    or is_same_event and memory.lanes.main.serving and redis.call('HEXISTS', line, 'serving') == 0
  local is_overruled = memory.revision > tonumber(r[3] or 0)
  if not is_behind and not is_overruled then
    return
  end
  if is_overruled then
    recall_control(room, memory)
  end
  if not is_followed then
    begin_life(room, newborn, r[1], memory)
    redis.call('HSET', room, 'healed_beats', r[2] or 0, 'healed_sessions', 0)
    keep_tokens(room, math.min(1, tonumber(redis.call('HGET', room, 'tokens'))), now)
  end
  if is_behind then
    recall_sessions(room, sessions, memory, now, is_followed)
    local beats = math.max(tonumber(r[2] or 0), memory.beats)
    redis.call('HSET', room, 'healed_beats', memory.beats, 'beats', beats)
    recall_supply(room, memory.stock)
    if is_same_event then
      local called = is_followed and called_since_loss(room, lanes) or 0
      recall_draw(line, memory)
      for _, lane in ipairs(lanes) do
        recall_lane(lane, memory.lanes[lane.name] or {}, now, window)
      end
      call_again(room, lanes, now, window)
      gather(room, lanes, memory.waiting - called, { now, regather })
    end
  end
end

-- returns what the store behind said, and what the last tick made of it
local function settle_limits()
  local said = redis.call('HMGET', room, 'rate_by_ops', 'cap_by_ops', 'stock', 'gone', 'may_buy', 'came')
  keep_field(room, 'full_rate', said[1] or rate)
  keep_field(room, 'rate_per_minute', rate_in_force(room, said[1] or rate))
  keep_field(room, 'total_active_users', said[2] or cap)
  redis.call('HSETNX', line, 'serving', '-inf')
  redis.call('HSETNX', line, 'commitment', commitment)
  redis.call('HSETNX', line, 'spin', '0')
  redis.call('HSETNX', line, 'born_ms', string.format('%d', now))
  return { stock = said[3], gone = said[4], may_buy = said[5], came = said[6] }
end

-- what the store behind has, as far as it is known; once units are back, all is as after a pause
local function heed_supply(said)
  local supply = supply_of(said.stock)
  if supply and now - supply.heard_ms >= lasts then
    supply = nil
  end
  local is_gone = supply and supply.left + supply.held == 0
  if is_gone and not said.gone then
    redis.call('HSET', room, 'gone', '1')
  elseif said.gone and not is_gone then
    redis.call('HDEL', room, 'gone')
    keep_tokens(room, math.min(1, tonumber(redis.call('HGET', room, 'tokens'))), now)
    call_again(room, lanes, now, window)
  end
  if said.may_buy and not supply then
    redis.call('HDEL', room, 'may_buy', 'came')
  end
  return supply
end

-- the draw is over at the opening and turned once after it, before anybody is called: whether that is done
local function settle_spin()
  local starts = tonumber(times.starts)
  if not starts or now < starts then
    return true
  end
  redis.call('HSETNX', line, 'drawn_ms', string.format('%d', now)) -- from here on nobody comes to the draw or goes
  if redis.call('HEXISTS', line, 'spin_source') == 1 then
    return true
  end
  local seen = memory and memory.event == event and memory.draw or {}
  if seen.spin_source then
    redis.call('HSET', line, 'spin', seen.spin, 'spin_source', seen.spin_source)
    return true
  end
  local born = tonumber(redis.call('HGET', line, 'born_ms'))
  if awaited and now < math.max(awaited, born >= starts and born + REMEMBER_MS or 0) then
    return false
  end
  redis.call('HSET', line, 'spin_source', unspun)
  return true
end

local function sum(name)
  local all = 0
  for _, lane in ipairs(lanes) do
    all = all + lane[name]
  end
  return all
end

-- how many more may come in, so that a unit is left for each, beside those on their way and those who are about to buy.
-- What is set aside counts once it is back: then somebody is called for it.
local function may_buy_of(supply, came, expected)
  local admitted = 0
  for _, lane in ipairs(lanes) do
    admitted = admitted + (lane.is_used and tonumber(redis.call('HGET', lane.line, 'admitted') or 0) or 0)
  end
  return math.max(0, supply.left - expected - undecided(room, came, admitted, supply.left, now, deciding))
end

-- let `due` more come in; returns how many were called, and how many of them are counted on
local function call(due)
  local called, expected = 0, 0
  share_out(lanes, weights, due)
  for _, lane in ipairs(lanes) do
    if lane.due > 0 then
      local more, likely = call_more(lane, terms, lane.due)
      called, expected = called + more, expected + likely
    end
    if lane.credit ~= lane.kept_credit then
      redis.call('HSET', lane.line, 'credit', number_text(lane.credit))
    end
  end
  return called, expected
end

-- the state of an event outlives its last tick by `keep`; a lane that nobody ever used has a line, and nothing else
local function keep_alive(keys)
  for _, key in ipairs(keys) do
    local left = redis.call('PTTL', key)
    if left ~= -2 and (left < keep * 0.99 or left > keep) then
      redis.call('PEXPIRE', key, keep)
    end
  end
end

forget_unheard(room, now)
be_born()
if memory then
  heal()
end
local said = settle_limits()
local supply = heed_supply(said)
note_heads(line, main.queue)
local is_spun = settle_spin()
for _, lane in ipairs(lanes) do
  look_at(lane, terms)
end
local missing = missing_from(room, now, sum('waiting'))
if missing == 0 then
  redis.call('HDEL', room, 'gather_until_ms', 'gather_for') -- once they are back they are back
end
local phase = phase_of(room, event, times, now, sum('ready') + missing)
local is_admitting = (phase == 'open' or phase == 'idle') and is_spun and not is_shut(room)
local outstanding, expected = 0, 0
for _, lane in ipairs(lanes) do
  if lane.is_used then
    local left, likely = settle_calls(lane, terms, is_admitting) -- while nobody can answer, no call runs out
    outstanding, expected = outstanding + left, expected + likely
    trim_lapsed(lane, terms)
  end
end
keep_field(room, 'expected', expected)
local may_buy = supply and may_buy_of(supply, said.came, expected) or math.huge
local tokens = refilled(room, now)
if not is_admitting then
  tokens = math.min(tokens, 1) -- nothing is saved up for a burst at the end of a pause
end
local seats = inside(room, sessions, now)
if is_admitting and phase == 'open' and missing == 0 then
  local free = tonumber(redis.call('HGET', room, 'total_active_users')) - seats
  local due = math.min(math.floor(math.min(tokens + 1 - WHOLE, free) - expected), may_buy)
  if due >= 1 and sum('ready') > 0 then
    local called, more = call(due)
    outstanding = outstanding + called
    redis.call('HSET', room, 'expected', expected + more)
    may_buy = math.max(0, may_buy - more)
    phase = phase_of(room, event, times, now, sum('ready'))
  end
end
if supply then
  keep_field(room, 'may_buy', may_buy)
end
local waiting = sum('waiting')
if not (is_admitting and is_full(room, tokens) and waiting == 0 and outstanding == 0 and seats == 0) then
  keep_tokens(room, tokens, now)
  redis.call('HINCRBY', room, 'beats', 1)
end
note_tick(room, seats, now)
keep_alive({ room, sessions, log })
for _, lane in ipairs(lanes) do
  keep_alive(lane.is_used and { lane.line, lane.queue, lane.calls, lane.claimed, lane.knocks } or { lane.line })
end

local r = redis.call('HMGET', room, 'generation', 'full_rate', 'total_active_users', 'message', 'revision',
  'rate_per_minute', 'health_ratio', 'circuit', 'circuit_ms')
local l = redis.call('HMGET', line, 'commitment', 'spin', 'spin_source', 'roster_root', 'roster_count',
  'show_up_ratio')
local told, admitted, lapsed = {}, 0, 0
for _, lane in ipairs(lanes) do
  if lane.is_used then
    local seen = redis.call('HMGET', lane.line, 'serving', 'called', 'admitted', 'lapsed')
    told[#told + 1] = { lane.name, seen[1], tonumber(seen[2] or 0), lane.waiting }
    admitted, lapsed = admitted + tonumber(seen[3] or 0), lapsed + tonumber(seen[4] or 0)
  end
end
return {
  'ticked', r[1], phase, now, told, seats, outstanding, admitted, lapsed, r[2], tonumber(r[3]), r[4], tonumber(r[5]),
  l[1], l[2], r[6], r[7] or '1', r[8] or 'closed', tonumber(r[9] or 0), l[3] or '', l[4] or '', tonumber(l[5] or 0),
  redis.call('HGET', room, 'closed') or '0', tonumber(redis.call('HGET', room, 'open_until_ms') or 0),
  tonumber(redis.call('HGET', room, 'revoked_before_ms') or 0), l[6] or '1',
  supply and { supply.left, supply.held, may_buy } or {}, memory_text(room, sessions, lanes, event, now),
}
