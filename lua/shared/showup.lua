-- showup: which share of those called comes in, learnt from each batch as it settles: the line's `show_up_ratio`.
--
-- Smoothed: a batch of WEIGHT people counts as much as all before it, a smaller one less. Bounded: never above 1, for
-- nobody comes twice; never below LEAST, for then something else is wrong, and those called in vain by a wrong measure wait
-- for three more of their kind at most. It begins at 1: nobody is called in excess before there is a reason.
local WEIGHT = 50
local LEAST = 0.25

-- how many to call for `count` to come in
local function calls_for(lane, count)
  return math.floor(count / show_up_ratio(lane) + 1e-9)
end

-- who came but was told to come back did show up; so did who left the line, and so freed the call at once
local function learn_from(lane, batch)
  local missing = math.min(math.max(batch.left - batch.knocked, 0), batch.size)
  local ratio = show_up_ratio(lane)
  ratio = ratio + batch.size / (batch.size + WEIGHT) * ((batch.size - missing) / batch.size - ratio)
  redis.call('HSET', lane.line, 'show_up_ratio', number_text(math.max(ratio, LEAST)))
  batch.size = 0
  keep_batch(lane.calls, batch)
end
