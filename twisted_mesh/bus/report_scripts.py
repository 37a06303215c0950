"""The scripts with which sidecars report, and with which one of them gives back what a store has lost."""

from __future__ import annotations

from twisted_mesh.bus.store_scripts import COMMON

# A report, under a lease; it also counts and judges the canary, since that must happen once however many look.
#
# ARGV: channel, node, lease in milliseconds, the report, life and version of the store that it runs, its side of the
# canary ('canary', 'other', '' for none), the canary's version, calls and failed ones since then, why it refuses what
# the canary brought ('' if it does not), a token, and one for this start of the sidecar.
# Returns life and version of the store, whether this sidecar should offer its configuration, the version that ended the
# canary (0 if none did), and whether two processes go by this node's name.
REPORT = (
    COMMON
    + r"""
local node, lease, theirs, version = ARGV[2], tonumber(ARGV[3]), ARGV[5], tonumber(ARGV[6])
local at = now()
-- Redis refuses a script its first write only: where memory is full a report must still come in, and end a canary.
redis.call('ZREM', K.leases, '')
-- Two processes of one name report in turns, which one that was restarted does not.
local last, twins = split(redis.call('HGET', K.records, node) or ''), nil
local other = last.run ~= ARGV[13] and last.run or last.other
if last.run ~= ARGV[13] and last.other == ARGV[13] and (tonumber(last.expires) or 0) > at then
  twins = at + 2 * lease
elseif (tonumber(last.twins) or 0) > at then
  twins = last.twins
end
local head = {at = at, expires = at + lease, run = ARGV[13], other = other, twins = twins}
redis.call('HSET', K.records, node, cjson.encode(head) .. '\n' .. ARGV[4])
redis.call('ZADD', K.leases, text(at + lease), node)
sweep(at, 10)

-- Whether what this sidecar has is worth keeping, as the store has lost it.
local function wanted()
  if not ahead(theirs, version) then return 0 end
  if version >= seen() then
    redis.call('SET', K.seen, text(version) .. ' ' .. theirs .. ' ' .. node, 'PX', text(lease * 4))
  end
  local offer, asked = table_of(redis.call('HGET', K.offer, '')), redis.call('GET', K.wanted)
  if offer.node == node and offer.version == version and offer.epoch == theirs and offer.whole then
    redis.call('PEXPIRE', K.offer, text(lease * 4))
    return 0
  end
  if asked then return asked == node and 1 or 0 end
  return (offer.node == node or (tonumber(offer.version) or 0) < version) and 1 or 0
end

-- Adds what came since this sidecar's last report; one that began anew counts from nothing again.
local function count(side, calls, errors)
  local had = redis.call('HGET', K.traffic, 'node ' .. node) or '0 0'
  local had_calls, had_errors = string.match(had, '^(%d+) (%d+)$')
  had_calls, had_errors = tonumber(had_calls) or 0, tonumber(had_errors) or 0
  if calls < had_calls or errors < had_errors then had_calls, had_errors = 0, 0 end
  redis.call('HSET', K.traffic, 'node ' .. node, text(calls) .. ' ' .. text(errors))
  redis.call('HINCRBY', K.traffic, side .. ' calls', text(calls - had_calls))
  redis.call('HINCRBY', K.traffic, side .. ' errors', text(errors - had_errors))
end

-- Why the canary has failed, nil if it has not.  The rule is that of policy/canary.py.
local function failed(canary, blame)
  if blame ~= '' then return node .. ' refused ' .. blame end
  -- Until the others have reported too, a trouble of all would look like one of the canaries.
  if at < canary.at + 1000 * (canary.settle or 0) then return nil end
  local sums = redis.call('HMGET', K.traffic, 'canary calls', 'canary errors', 'other calls', 'other errors')
  for each = 1, 4 do sums[each] = tonumber(sums[each] or '0') end
  local calls, errors, other_calls, other_errors = sums[1], sums[2], sums[3], sums[4]
  if calls < math.max(canary.least_calls or 0, 1) then return nil end
  local others = other_calls > 0 and other_errors / other_calls or 0
  if errors / calls <= others + canary.margin then return nil end
  return string.format(
    'of the canaries %.1f %% of %d calls failed, of the others %.1f %% of %d; more than %g points apart',
    100 * errors / calls, calls, 100 * others, other_calls, 100 * canary.margin
  )
end

local offered, ended = wanted(), 0
local canary = open_canary()
if canary and ARGV[7] ~= '' and tonumber(ARGV[8]) == canary.version then
  count(ARGV[7], tonumber(ARGV[9]), tonumber(ARGV[10]))
  local why = failed(canary, ARGV[7] == 'canary' and ARGV[11] or '')
  if why then
    ended = withdraw(canary, 'the canary itself', 'canary of version ' .. text(canary.version) .. ': ' .. why, ARGV[12])
  end
end
return {epoch(), current(), offered, ended, twins and 1 or 0}
"""
)

# ARGV: channel, node.
LEAVE = (
    COMMON
    + r"""
redis.call('ZREM', K.leases, ARGV[2])
return redis.call('HDEL', K.records, ARGV[2])
"""
)

# A part of what a sidecar has.  ARGV: channel, node, lease in milliseconds, life, version, whether this is the first
# part, whether it is the last, then names and records.  Returns whether it was taken; if not, somebody else offers.
OFFER = (
    COMMON
    + r"""
local node, lease, theirs, version = ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local head = table_of(redis.call('HGET', K.offer, ''))
if ARGV[6] == '1' then
  head = {node = node, epoch = theirs, version = version}
  redis.call('HSET', K.offer, '', cjson.encode(head))
  for _, name in ipairs(redis.call('HKEYS', K.offer)) do
    if name ~= '' then redis.call('HDEL', K.offer, name) end
  end
elseif head.node ~= node or head.epoch ~= theirs or head.version ~= version or head.whole then
  return 0
end
for at = 8, #ARGV, 2 do redis.call('HSET', K.offer, ARGV[at], ARGV[at + 1]) end
if ARGV[7] == '1' then
  head.whole = true
  redis.call('HSET', K.offer, '', cjson.encode(head))
end
-- Half an offer goes soon, so that another sidecar makes one if this one died over it.
redis.call('PEXPIRE', K.offer, text(head.whole and lease * 4 or lease))
return 1
"""
)

# Puts what is offered in the place of what is there, in a new life of the store that all sidecars follow.
#
# ARGV: channel, token, author, reason, the node whose offer is wanted ('' for any).
RESTORE = (
    COMMON
    + r"""
local token, node = ARGV[2], ARGV[5]
local before = done_before(token)
if before then return {'done', before} end
local offer = table_of(redis.call('HGET', K.offer, ''))
local high, whose = seen()
if not offer.whole or (node ~= '' and offer.node ~= node) then
  if node ~= '' then redis.call('SET', K.wanted, node, 'PX', 30000) end
  return {'none', high, whose}
end
local todo, given = {}, {}
local all = redis.call('HGETALL', K.offer)
for at = 1, #all, 2 do
  local name, record = all[at], all[at + 1]
  given[name] = true
  if name ~= '' and redis.call('HGET', K.resources, name) ~= record then
    local _, rest = split(record)
    todo[#todo + 1] = {name, rest, string.sub(record, 1, #record - #rest - 1)}
  end
end
for _, name in ipairs(redis.call('HKEYS', K.resources)) do
  if not given[name] then todo[#todo + 1] = {name, false} end
end
local version = commit(todo, {
  kind = 'restore', author = ARGV[3], reason = ARGV[4], token = token, node = offer.node,
}, math.max(high, offer.version))
forget_canary()
redis.call('DEL', K.offer, K.wanted, K.seen)
return {'written', version, offer.node}
"""
)
