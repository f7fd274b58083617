-- health: hear from a worker how the upstream does; slow admission down, speed it up, open or close the circuit.
--
-- Each worker reports once a second what it saw since its last report. Whichever report comes first after a second
-- judges all of them: distress slows by a factor, calm speeds up by a step, so that the rate settles where the
-- upstream can bear it. A sample is heard once, however often it is sent.
--
-- KEYS[1]  room      hash    the room: limits, rate bucket, health
-- KEYS[2]  samples   zset    "worker:serial:requests:slow:failed" -> when it was heard
-- KEYS[3]  audit     stream  every change
-- KEYS[4]  line      hash    lane main: serving threshold, counts
-- KEYS[5]  calls     zset    lane main: batches of called tickets -> last turn
-- KEYS[6]  line      hash    lane priority
-- KEYS[7]  calls     zset    lane priority
-- KEYS[8]  line      hash    lane slow
-- KEYS[9]  calls     zset    lane slow
-- ARGV[1]  now       ms      0 = the clock of Redis
-- ARGV[2]  worker    text    who reports
-- ARGV[3]  serial    number  of this report, counted by the worker
-- ARGV[4]  requests  number  answered, failed, or waiting for longer than the target
-- ARGV[5]  slow      number  of these: over the target, and not failed
-- ARGV[6]  failed    number  of these
-- ARGV[7]  probe     text    what came of the probe this worker was given: passed, failed, unused; empty = nothing yet
-- ARGV[8]  floor     number  admissions a minute that are always let in, unless the circuit is open
-- ARGV[9]  span      ms      how far back samples count
-- ARGV[10] least     number  requests below which samples prove nothing
-- ARGV[11] distress  ratio   slow and failed ones above which admission slows
-- ARGV[12] breaking  ratio   failed ones from which the circuit opens
-- ARGV[13] recovery  ms      from no rate to the full one
-- ARGV[14] every     ms      between two probes
-- ARGV[15] window    ms      how long a called ticket has to come in, from the end of an outage on
-- REPLY    "noted", ratio, circuit, since, probe   probe = 1: this worker may send one request to the upstream
-- REPLY    "unloaded"        the room has no state: tick first
-- @include shared/clock
-- @include shared/bucket
-- @include shared/calls
-- @include shared/audit
-- @include shared/health
local room, samples, audit = KEYS[1], KEYS[2], KEYS[3]
local lanes = {
  { line = KEYS[4], calls = KEYS[5] }, { line = KEYS[6], calls = KEYS[7] }, { line = KEYS[8], calls = KEYS[9] },
}
local now, worker, serial = clock_ms(ARGV[1]), ARGV[2], ARGV[3]
local requests, slow, failed, probe = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local floor, span, least = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])
local distress, breaking, recovery = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])
local every, window = tonumber(ARGV[14]), tonumber(ARGV[15])

local JUDGE_MS = 1000
local BACK_OFF = 0.6 -- what distress leaves of the ratio
local CALM = 0.2 -- of the distress ratio: between this and that, the rate stays

if redis.call('HEXISTS', room, 'generation') == 0 then
  return { 'unloaded' }
end
forget_unheard(room, now)

local function hear()
  if tonumber(requests) > 0 then
    local member = table.concat({ worker, serial, requests, slow, failed }, ':')
    redis.call('ZADD', samples, 'NX', string.format('%d', now), member)
  end
  redis.call('ZREMRANGEBYSCORE', samples, '-inf', string.format('%d', now - span))
  redis.call('PEXPIRE', samples, 2 * span)
  redis.call('HSETNX', room, 'health_ratio', '1')
  redis.call('HSETNX', room, 'circuit', 'closed')
  redis.call('HSETNX', room, 'circuit_ms', '0')
  redis.call('HSETNX', room, 'judged_ms', string.format('%d', now))
  redis.call('HSET', room, 'rate_floor', floor, 'health_ms', string.format('%d', now))
end

-- what all workers saw after `since`
local function sums(since)
  local all, bad, lost = 0, 0, 0
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', samples, string.format('(%d', since), '+inf')) do
    local n, late, none = string.match(member, ':(%d+):(%d+):(%d+)$')
    all, bad, lost = all + tonumber(n), bad + tonumber(late) + tonumber(none), lost + tonumber(none)
  end
  return all, bad, lost
end

-- from here on another rate; what was earned so far, was earned at the old one
local function set_ratio(ratio)
  keep_tokens(room, refilled(room, now), now)
  redis.call('HSET', room, 'health_ratio', ratio == 1 and '1' or string.format('%.17g', ratio))
  local rate = redis.call('HGET', room, 'full_rate') or redis.call('HGET', room, 'rate_per_minute')
  redis.call('HSET', room, 'rate_per_minute', rate_in_force(room, rate))
end

local function note_down(before, after, why)
  write_down(audit, now, { who = 'health', what = 'circuit', value = after, before = before, why = why })
end

local function turn_circuit(circuit)
  redis.call('HSET', room, 'circuit', circuit, 'circuit_ms', string.format('%d', now),
    'probe_ms', string.format('%d', now))
  redis.call('HDEL', room, 'probe_by', 'probe_until_ms')
end

local function open(from, all, lost)
  set_ratio(0)
  turn_circuit('open')
  if from == 'closed' then -- an outage is noted once, however often a probe fails in it
    note_down(from, 'open', string.format('%d of %d requests failed', lost, all))
  end
end

-- the outage seems over: like the end of a pause, for the called and for the bucket
local function half_open()
  keep_tokens(room, math.min(1, tonumber(redis.call('HGET', room, 'tokens'))), now)
  call_again(room, lanes, now, window)
  turn_circuit('half_open')
end

local function judge_closed(ratio, judged_ms)
  local slowed_ms = tonumber(redis.call('HGET', room, 'slowed_ms') or 0)
  local since_ms = tonumber(redis.call('HGET', room, 'circuit_ms'))
  local all, bad, lost = sums(math.max(slowed_ms, since_ms, now - span))
  if all >= least and lost >= breaking * all then
    return open('closed', all, lost)
  end
  if all >= least and bad > distress * all then
    if now - slowed_ms >= span / 2 then -- what was done shows only after a while
      redis.call('HSET', room, 'slowed_ms', string.format('%d', now))
      set_ratio(ratio * BACK_OFF)
    end
  elseif ratio < 1 and bad <= distress * CALM * all then
    set_ratio(math.min(1, ratio + math.min(now - judged_ms, span) / recovery))
  end
end

local function judge_half_open()
  local since_ms = tonumber(redis.call('HGET', room, 'circuit_ms'))
  local all, _, lost = sums(since_ms)
  if lost > 0 and lost >= breaking * all then
    return open('half_open', all, lost)
  end
  if now - since_ms >= span then
    turn_circuit('closed')
    note_down('open', 'closed', string.format('%d of %d requests failed', lost, all))
  end
end

-- while the circuit is open, one worker at a time may try; returns 1 where that is the one who asks
local function next_probe()
  local held = redis.call('HMGET', room, 'probe_by', 'probe_until_ms', 'probe_ms')
  local is_mine = held[1] == worker
  if is_mine and (probe == 'passed' or probe == 'unused') then -- unused: nobody came to try, so let a few come in
    half_open()
    return 0
  end
  if is_mine and probe == 'failed' then
    redis.call('HDEL', room, 'probe_by', 'probe_until_ms')
    redis.call('HSET', room, 'probe_ms', string.format('%d', now))
    return 0
  end
  if held[1] and now < tonumber(held[2]) then
    return is_mine and 1 or 0
  end
  if now - tonumber(held[3]) < every then
    return 0
  end
  redis.call('HSET', room, 'probe_by', worker, 'probe_until_ms', string.format('%d', now + 3 * every))
  return 1
end

hear()
local h = redis.call('HMGET', room, 'health_ratio', 'circuit', 'judged_ms')
local granted = 0
if h[2] == 'open' then
  granted = next_probe()
elseif now - tonumber(h[3]) >= JUDGE_MS then
  redis.call('HSET', room, 'judged_ms', string.format('%d', now))
  if h[2] == 'half_open' then
    judge_half_open()
  else
    judge_closed(tonumber(h[1]), tonumber(h[3]))
  end
end
local r = redis.call('HMGET', room, 'health_ratio', 'circuit', 'circuit_ms')
return { 'noted', r[1], r[2], tonumber(r[3]), granted }
