"""What Redis itself does for rate limits that sidecars share: the Lua scripts.

====================================== ====== =========================================================================
``mesh:{MESH}:limit:NAME:key:KEY``     string the theoretical arrival time of one key, in us of Redis's clock; it is
                                              gone when nothing of the limit is used any more
``mesh:{MESH}:limit:NAME:sidecars``    zset   who shares the limit, by the ms until which they are taken to
====================================== ====== =========================================================================

Every script gets one key, the prefix of the mesh, whose hash slot is that of all.
"""

from __future__ import annotations

# name, then for each key: KEY, us of a unit, burst, want, least, debt -> how many share the limit, then for each:
# granted, remaining, us until all are there again, us until the least is.  It is `twisted_mesh.policy.gcra.Gcra.grant`.
TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local base = KEYS[1] .. 'limit:' .. ARGV[1]
local found = {redis.call('ZCARD', base .. ':sidecars')}
for at = 2, #ARGV, 6 do
  local key = base .. ':key:' .. ARGV[at]
  local unit, burst = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local want, least, debt = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local whole = unit * burst
  local arrival = math.max(tonumber(redis.call('GET', key) or '0'), now) + debt * unit
  -- Another server's clock may have been ahead of this one's.
  arrival = math.min(math.max(arrival, now), now + whole)
  local room = math.floor((now + whole - arrival) / unit + 1e-6)
  local granted = room >= least and math.min(want, room) or 0
  arrival = arrival + granted * unit
  if arrival > now then
    redis.call('SET', key, string.format('%.3f', arrival), 'PX', math.ceil((arrival - now) / 1000) + 1)
  elseif debt < 0 then
    redis.call('DEL', key)
  end
  local wait = 0
  if granted == 0 and want > 0 then wait = math.max(0, arrival + least * unit - whole - now) end
  found[#found + 1] = granted
  found[#found + 1] = room - granted
  found[#found + 1] = math.ceil(arrival - now)
  found[#found + 1] = math.ceil(wait)
end
return found
"""

# who, ms of lease, names -> for each name how many share it.
JOIN = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}
for at = 3, #ARGV do
  local key = KEYS[1] .. 'limit:' .. ARGV[at] .. ':sidecars'
  redis.call('ZADD', key, string.format('%.0f', now + ARGV[2]), ARGV[1])
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now))
  redis.call('PEXPIRE', key, ARGV[2])
  found[#found + 1] = redis.call('ZCARD', key)
end
return found
"""

# who, names -> nothing.
LEAVE = """
for at = 2, #ARGV do redis.call('ZREM', KEYS[1] .. 'limit:' .. ARGV[at] .. ':sidecars', ARGV[1]) end
"""
