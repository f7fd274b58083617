-- lane: what a tick does in one lane: count who waits, end calls that ran out, call more.
--
-- A `lane` is a table of its name and its keys; `look_at` adds spin, serving, waiting. `terms` of a tick: now, window,
-- settle, log.

-- an append-only file does not grow where nothing changes
local function keep_field(key, name, value)
  if redis.call('HGET', key, name) ~= tostring(value) then
    redis.call('HSET', key, name, value)
  end
end

local function look_at(lane)
  local l = redis.call('HMGET', lane.line, 'serving', 'spin')
  lane.serving, lane.spin = tonumber(l[1]), tonumber(l[2] or 0)
  lane.waiting = redis.call('ZCARD', lane.queue) - count_upto(lane.queue, lane.serving, lane.spin)
end

local function end_call(lane, batch)
  redis.call('ZREM', lane.calls, batch.member)
  redis.call('HINCRBY', lane.line, 'lapsed', batch.left)
  redis.call('HSET', lane.line, 'lapsed_upto', number_text(batch.upto))
  redis.call('ZREMRANGEBYSCORE', lane.knocks, '-inf', number_text(batch.upto))
end

-- end the calls that nobody answered in time, in turn: never before those who were called earlier; count the others
local function settle_calls(lane, terms, is_admitting)
  local outstanding, expected, settled_upto = 0, 0, redis.call('HGET', lane.line, 'lapsed_upto') or '-inf'
  local could_come = is_admitting
  for _, batch in ipairs(batches(lane.calls)) do
    local is_settled = terms.now - batch.called_ms >= terms.settle
    if is_settled and could_come and batch.size > 0 then
      learn_from(lane, batch)
    end
    if is_admitting and batch.deadline_ms <= terms.now then
      end_call(lane, batch)
      settled_upto = number_text(batch.upto)
    else
      is_admitting = false
      outstanding = outstanding + batch.left
      settled_upto = is_settled and number_text(batch.upto) or settled_upto
      expected = expected + counted_on(batch, tonumber(settled_upto))
    end
  end
  keep_field(lane.line, 'settled_upto', settled_upto)
  return outstanding, expected
end

-- move the threshold so far that `count` more come in; tickets of one equal score are called together
local function call_more(lane, terms, count)
  local before = count_upto(lane.queue, lane.serving, lane.spin)
  local last = math.min(before + calls_for(lane, count), redis.call('ZCARD', lane.queue))
  local upto = last > before and turn_at(lane.queue, last, lane.spin)
  if not upto then
    return 0, 0
  end
  local called = count_upto(lane.queue, upto, lane.spin) - before
  local newest = redis.call('ZREVRANGE', lane.calls, 0, 0, 'WITHSCORES')
  local batch = newest[1] and batch_of(newest[1], newest[2])
  if not batch or terms.now - batch.called_ms >= 1000 then
    batch = new_batch(lane, terms.now)
  end
  local due = due_of(lane, called)
  batch.upto, batch.left, batch.deadline_ms = upto, batch.left + called, terms.now + terms.window
  batch.size, batch.due = batch.size + called, batch.due + due
  keep_batch(lane.calls, batch)
  redis.call('HSET', lane.line, 'serving', number_text(upto))
  redis.call('HINCRBY', lane.line, 'called', called)
  redis.call('XADD', terms.log, 'MAXLEN', '~', '200000', '*',
    'at_ms', string.format('%d', terms.now), 'lane', lane.name, 'serving', number_text(upto), 'called', called)
  lane.waiting = lane.waiting - called
  return called, due
end
