"""The scripts of the configuration store that only read."""

from __future__ import annotations

from twisted_mesh.bus.store_scripts import COMMON

# A page of what changed after a version, in the order of the changes, so that what changes while pages are read comes
# again on a later one: who has read to the end has the state of one version, and read no more than what changed.
#
# ARGV: channel, the life that the reader knows ('*' for any), the version it has, version and name of the last record
# of the page before ('' for the first page), records and bytes of a page, the version at the first page ('' for it).
CHANGES = (
    COMMON
    + r"""
local mine, last = epoch(), current()
local since, name = tonumber(ARGV[3]), ARGV[5]
if ARGV[2] ~= '*' and ARGV[2] ~= mine then return {'other', mine, last} end
if since > last then return {'back', mine, last} end
local floor = tonumber(redis.call('HGET', K.history, 'floor') or '0')
-- What was deleted since the first page may be forgotten already.
local began = tonumber(ARGV[8]) or last
if (since > 0 and since < floor) or began < floor then return {'gone', mine, last} end

local from
if name == '' then
  from = redis.call('ZCOUNT', K.changed, '-inf', ARGV[3])
elseif redis.call('ZSCORE', K.changed, name) == ARGV[4] then
  from = redis.call('ZRANK', K.changed, name) + 1
else
  from = redis.call('ZCOUNT', K.changed, '-inf', '(' .. ARGV[4])
end
local found, size, at = {}, 0, from
local page = redis.call('ZRANGE', K.changed, from, from + tonumber(ARGV[6]) - 1, 'WITHSCORES')
for each = 1, #page, 2 do
  local record = redis.call('HGET', K.resources, page[each])
  if size > 0 and size + #(record or '') > tonumber(ARGV[7]) then break end
  size = size + #(record or '') + 1
  found[#found + 1] = page[each]
  found[#found + 1] = page[each + 1]
  found[#found + 1] = record
  at = at + 1
end
local more = at < redis.call('ZCARD', K.changed)
return {'ok', mine, last, more and 1 or 0, redis.call('GET', K.canary), found}
"""
)

# ARGV: channel, how many.  The newest versions, the newest last; and the version that can be gone back to at least.
HISTORY = (
    COMMON
    + r"""
local found = {}
for _, each in ipairs(redis.call('LRANGE', K.versions, -tonumber(ARGV[2]), -1)) do
  found[#found + 1] = redis.call('HGET', K.history, each)
end
return {redis.call('HGET', K.history, 'floor') or '0', redis.call('HGET', K.history, 'limit') or '100', found}
"""
)

# ARGV: channel, a version.  What each resource that changed since was then, as name and record ('' for none); the
# current version before it, so that the reader knows what it belongs to.
BEFORE = (
    COMMON
    + r"""
local to = tonumber(ARGV[2])
local kept = redis.call('LRANGE', K.versions, 0, -1)
if not is_kept(kept, to) then return {'unknown', kept[1] or '0', current()} end
local _, target = undone(kept, to)
local found = {}
for name, record in pairs(target) do
  found[#found + 1] = name
  found[#found + 1] = record
end
return {'ok', epoch(), current(), found}
"""
)

# ARGV: channel.  Everything about the sidecars that report: the time, the life and version of the store, its open
# canary, what was counted of it, the version of a sidecar that is ahead and which, who offers its configuration, and
# the records.  Those whose lease has ended are swept first.
STATUS = (
    COMMON
    + r"""
local at = now()
sweep(at, 1000)
local high, node = seen()
local offer = table_of(redis.call('HGET', K.offer, ''))
local sums = redis.call('HMGET', K.traffic, 'canary calls', 'canary errors', 'other calls', 'other errors')
return {text(at), epoch(), current(), redis.call('GET', K.canary), sums, high, node, offer.whole and offer.node or '',
  redis.call('HVALS', K.records)}
"""
)
