-- Compare only what stands still: nothing has changed since `mut` was `seen`, and no soft hold is on its way into the
-- ledger. One may stand there already or not yet: counting it would be wrong in one of the two cases.
if seen ~= mut then
  return { 'moved', mut }
end
if redis.call('ZCARD', x) > 0 then
  return { 'busy', mut }
end
