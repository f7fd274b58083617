-- redeem: let a ticket use an invite, unless as many others have as may; the same answer when called again.
--
-- KEYS[1]  used    set     ticket ids that used it
-- ARGV[1]  ticket  text    ticket id
-- ARGV[2]  uses    number  how many tickets may use it
-- ARGV[3]  keep    ms      when nobody can use it any more, ms since 1970
-- REPLY    "redeemed"      this ticket uses it
-- REPLY    "used"          others did
local used, ticket, uses, keep = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]

if redis.call('SISMEMBER', used, ticket) == 1 then
  return { 'redeemed' }
end
if redis.call('SCARD', used) >= uses then
  return { 'used' }
end
redis.call('SADD', used, ticket)
redis.call('PEXPIREAT', used, keep)
return { 'redeemed' }
