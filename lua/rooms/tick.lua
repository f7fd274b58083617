-- tick: let time pass in a room: end what ran out, refill the rate, call as many as may come in.
--
-- Any worker may call it, as often as it likes: what is due depends on the time that passed, never on who asks.
--
-- KEYS[1]  room        hash    the room: generation, limits, rate bucket, flags of ops
-- KEYS[2]  sessions    zset    session id -> end, ms since 1970
-- KEYS[3]  queue       zset    ticket id -> score
-- KEYS[4]  line        hash    the event: serving threshold, counts, draw
-- KEYS[5]  calls       zset    batches of called tickets -> last turn
-- KEYS[6]  claimed     zset    ticket id -> turn, of tickets that came in, or were called once more
-- KEYS[7]  knocks      zset    ticket id -> turn, of called tickets that were told to come back
-- KEYS[8]  log         stream  every move of the threshold
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
-- REPLY    "ticked", generation, phase, now, serving, called, waiting, sessions, outstanding, admitted, lapsed,
--          rate, cap, message, revision, commitment, spin, rate in force, health ratio, circuit, circuit since,
--          spin source, roster root, roster count, closed, open until, revoked before, show-up ratio,
--          memory
-- @include shared/clock
-- @include shared/order
-- @include shared/phase
-- @include shared/bucket
-- @include shared/inside
-- @include shared/calls
-- @include shared/health
-- @include shared/showup
-- @include shared/lane
-- @include shared/memory
-- @include shared/trim
-- @include shared/heads
local room, sessions, line = KEYS[1], KEYS[2], KEYS[4]
local main = {
  name = 'main', queue = KEYS[3], line = KEYS[4], calls = KEYS[5], claimed = KEYS[6], knocks = KEYS[7],
}
local now, event = clock_ms(ARGV[1]), ARGV[2]
local times = { prequeue = ARGV[3], starts = ARGV[4], ends = ARGV[5] }
local rate, cap, window, settle = ARGV[6], ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local newborn, commitment, keep = ARGV[10], ARGV[11], tonumber(ARGV[12])
local awaited, unspun = tonumber(ARGV[13]), ARGV[14]
local memory, regather = ARGV[15] ~= '' and cjson.decode(ARGV[15]), tonumber(ARGV[16])
local terms = { now = now, window = window, settle = settle, log = KEYS[8], trim = tonumber(ARGV[17]) }
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
    or is_same_event and memory.line.grown.serving and redis.call('HEXISTS', line, 'serving') == 0
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
    if is_same_event then
      local before = tonumber(redis.call('HGET', line, 'serving') or '-inf')
      recall_line(line, memory)
      recall_calls(main, before, now, window)
      call_again(room, { main }, now, window)
      gather(room, memory, now, regather)
    end
  end
end

local function settle_limits()
  local said = redis.call('HMGET', room, 'rate_by_ops', 'cap_by_ops')
  keep_field(room, 'full_rate', said[1] or rate)
  keep_field(room, 'rate_per_minute', rate_in_force(room, said[1] or rate))
  keep_field(room, 'total_active_users', said[2] or cap)
  redis.call('HSETNX', line, 'serving', '-inf')
  redis.call('HSETNX', line, 'commitment', commitment)
  redis.call('HSETNX', line, 'spin', '0')
  redis.call('HSETNX', line, 'born_ms', string.format('%d', now))
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
  local seen = memory and memory.event == event and memory.line.kept or {}
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

forget_unheard(room, now)
be_born()
if memory then
  heal()
end
settle_limits()
note_heads(line, main.queue)
local is_spun = settle_spin()
look_at(main)
local waiting = main.waiting
local missing = missing_from(room, now, waiting)
if missing == 0 then
  redis.call('HDEL', room, 'gather_until_ms', 'gather_for') -- once they are back they are back
end
local phase = phase_of(room, event, times, now, waiting + missing)
local is_admitting = (phase == 'open' or phase == 'idle') and is_spun and not is_shut(room)
local outstanding, expected = settle_calls(main, terms, is_admitting) -- while nobody can answer, no call runs out
keep_field(room, 'expected', expected)
trim_lapsed(main, terms)
local tokens = refilled(room, now)
if not is_admitting then
  tokens = math.min(tokens, 1) -- nothing is saved up for a burst at the end of a pause
end
local seats = inside(room, sessions, now)
if is_admitting and phase == 'open' and waiting > 0 and missing == 0 then
  local free = tonumber(redis.call('HGET', room, 'total_active_users')) - seats
  local due = math.floor(math.min(tokens + 1 - WHOLE, free) - expected)
  if due >= 1 then
    local called, more = call_more(main, terms, due)
    waiting, outstanding = waiting - called, outstanding + called
    redis.call('HSET', room, 'expected', expected + more)
    phase = phase_of(room, event, times, now, waiting)
  end
end
if not (is_admitting and is_full(room, tokens) and waiting == 0 and outstanding == 0 and seats == 0) then
  keep_tokens(room, tokens, now)
  redis.call('HINCRBY', room, 'beats', 1)
end
note_tick(room, seats, now)
for i = 1, #KEYS do
  local left = redis.call('PTTL', KEYS[i])
  if left ~= -2 and (left < keep * 0.99 or left > keep) then
    redis.call('PEXPIRE', KEYS[i], keep)
  end
end

local r = redis.call('HMGET', room, 'generation', 'full_rate', 'total_active_users', 'message', 'revision',
  'rate_per_minute', 'health_ratio', 'circuit', 'circuit_ms')
local l = redis.call('HMGET', line, 'serving', 'called', 'admitted', 'lapsed', 'commitment', 'spin', 'spin_source',
  'roster_root', 'roster_count', 'show_up_ratio')
return {
  'ticked', r[1], phase, now, l[1], tonumber(l[2] or 0), waiting, seats, outstanding, tonumber(l[3] or 0),
  tonumber(l[4] or 0), r[2], tonumber(r[3]), r[4], tonumber(r[5]), l[5], l[6], r[6], r[7] or '1',
  r[8] or 'closed', tonumber(r[9] or 0), l[7] or '', l[8] or '', tonumber(l[9] or 0),
  redis.call('HGET', room, 'closed') or '0', tonumber(redis.call('HGET', room, 'open_until_ms') or 0),
  tonumber(redis.call('HGET', room, 'revoked_before_ms') or 0), l[10] or '1',
  memory_text(room, sessions, line, event, now, waiting),
}
