-- shares: how those who may come in now are shared among the lanes in which somebody is ready to be called.
--
-- Main and slow have the weight 1 together, as if all stood in main; priority has its own. Lane slow never gets more than
-- `slow_share` of all while anybody else is ready. What is owed to a lane in fractions of one person (`credit`) stays in
-- its line until the next tick, so that shares come out exactly at any rate; all credits together are 0. What a lane
-- does not need goes to the others.
local function give_shares(lanes, weights)
  local crowd, sum, rest = 0, 0, 0
  for _, lane in ipairs(lanes) do
    crowd = crowd + (lane.name == 'priority' and 0 or lane.ready)
  end
  for _, lane in ipairs(lanes) do
    lane.share = lane.name == 'priority' and weights.priority or lane.ready / crowd
    sum = sum + lane.share
  end
  for _, lane in ipairs(lanes) do
    lane.share = lane.share / sum
    rest = rest + (lane.name == 'slow' and 0 or lane.share)
  end
  local is_capped = rest > 0 and 1 - rest > weights.slow_share
  for _, lane in ipairs(is_capped and lanes or {}) do
    lane.share = lane.name == 'slow' and weights.slow_share or lane.share * (1 - weights.slow_share) / rest
  end
end

-- give all they need to those lanes that need less than their part; returns what is left for the others, and these
local function fill_small(lanes, weights, due)
  local open, owed, left = {}, 0, due
  for _, lane in ipairs(lanes) do
    lane.due = 0
    if lane.ready > 0 then
      open[#open + 1] = lane
    else
      owed, lane.credit = owed + lane.credit, 0
    end
  end
  for _ = 1, #lanes do
    give_shares(open, weights)
    local still, before = {}, left
    for _, lane in ipairs(open) do
      lane.credit = lane.credit + owed * lane.share
    end
    owed = 0
    for _, lane in ipairs(open) do
      if lane.most <= left and lane.credit + before * lane.share >= lane.most then
        lane.due, left = lane.most, left - lane.most
        owed, lane.credit = owed + lane.credit, 0
      else
        still[#still + 1] = lane
      end
    end
    open = still
  end
  return open, left
end

-- the lane that is owed most (sign 1) or least (-1) of those that could get one more, or give one back
local function next_lane(lanes, sign)
  local found
  for _, lane in ipairs(lanes) do
    local is_able = sign > 0 and lane.due < lane.most or sign < 0 and lane.due > 0
    if is_able and (not found or sign * (lane.credit - lane.due) > sign * (found.credit - found.due)) then
      found = lane
    end
  end
  return found
end

-- set the `due` of each lane: how many it may let come in, together `due`, or all who are ready
local function share_out(lanes, weights, due)
  local all, ready = 0, 0
  for _, lane in ipairs(lanes) do
    lane.most = lane.ready > 0 and due_of(lane, lane.ready) or 0
    all, ready = all + lane.most, ready + math.min(lane.ready, 1)
  end
  due = math.min(due, all)
  if ready == 1 then -- the usual case: all of it is theirs, and nobody is owed anything
    for _, lane in ipairs(lanes) do
      lane.due, lane.credit = lane.most > 0 and due or 0, 0
    end
    return
  end
  local open, left = fill_small(lanes, weights, due)
  local given = 0
  for _, lane in ipairs(open) do
    lane.credit = #open == 1 and left or lane.credit + left * lane.share
    lane.due = math.min(lane.most, math.max(0, math.floor(lane.credit)))
    given = given + lane.due
  end
  while given ~= left do -- by the few that rounding makes of it
    local step = given < left and 1 or -1
    local lane = next_lane(open, step)
    lane.due, given = lane.due + step, given + step
  end
  for _, lane in ipairs(open) do
    lane.credit = lane.credit - lane.due
  end
end
