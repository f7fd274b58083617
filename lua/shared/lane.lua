-- lane: what a tick does in one lane: count who waits, end calls that ran out, call more.
--
-- A `lane` is a table of its name and its keys; `look_at` adds the rest. `terms` of a tick: now, starts, window, settle,
-- log.

-- an append-only file does not grow where nothing changes
local function keep_field(key, name, value)
  if redis.call('HGET', key, name) ~= tostring(value) then
    redis.call('HSET', key, name, value)
  end
end

-- how many wait, and how many of them are ready to be called: who is in lane slow pays in waiting time, and is ready when
-- the time in its score has come
local function look_at(lane, terms)
  local l = redis.call('HMGET', lane.line, 'serving', 'spin', 'called', 'credit')
  if not l[1] or not l[2] then
    redis.call('HSETNX', lane.line, 'serving', '-inf')
    redis.call('HSETNX', lane.line, 'spin', '0') -- and so it stays in all lanes but main: no other has a draw
  end
  lane.serving, lane.spin, lane.credit = tonumber(l[1] or '-inf'), tonumber(l[2] or 0), tonumber(l[4] or 0)
  lane.kept_credit = lane.credit
  local size = redis.call('ZCARD', lane.queue)
  lane.is_used = size > 0 or l[3] or lane.name == 'main'
  lane.waiting = size > 0 and size - count_upto(lane.queue, lane.serving, lane.spin) or 0
  lane.ready = lane.waiting
  if lane.name == 'slow' and lane.waiting > 0 then
    local ripe = string.format('(%d', 2 + math.max(0, terms.now - terms.starts))
    local called = size - lane.waiting
    lane.ready = math.max(0, redis.call('ZCOUNT', lane.queue, '-inf', ripe) - called)
  end
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
  lane.settled_upto = tonumber(settled_upto)
  return outstanding, expected
end

-- move the threshold so far that `count` more come in; tickets of one equal score are called together
local function call_more(lane, terms, count)
  local before = count_upto(lane.queue, lane.serving, lane.spin)
  local upto = turn_at(lane.queue, before + math.min(calls_for(lane, count), lane.ready), lane.spin)
  if not upto then
    return 0, 0
  end
  local called = count_upto(lane.queue, upto, lane.spin) - before
  local newest = redis.call('ZREVRANGE', lane.calls, 0, 0, 'WITHSCORES')
  local batch = newest[1] and batch_of(newest[1], newest[2])
  if not batch or terms.now - batch.called_ms >= 1000 then
    batch = new_batch(lane, terms.now)
  end
  local counted = batch.member and counted_on(batch, lane.settled_upto) or 0
  batch.upto, batch.left, batch.deadline_ms = upto, batch.left + called, terms.now + terms.window
  batch.size, batch.due = batch.size + called, batch.due + due_of(lane, called)
  keep_batch(lane.calls, batch)
  redis.call('HSET', lane.line, 'serving', number_text(upto))
  redis.call('HINCRBY', lane.line, 'called', called)
  redis.call('XADD', terms.log, 'MAXLEN', '~', '200000', '*',
    'at_ms', string.format('%d', terms.now), 'lane', lane.name, 'serving', number_text(upto), 'called', called)
  lane.waiting, lane.ready = lane.waiting - called, lane.ready - called
  return called, counted_on(batch, lane.settled_upto) - counted
end
