"""What Redis itself does with records under leases: the Lua scripts.

A *set* of records has a kind and a name; the instances of the service ``web`` are the set ``web`` of kind ``service``.
It consists of, where BASE is ``mesh:{MESH}:KIND:NAME``:

==================== ==== ==========================================================================================
``BASE:records``     hash id -> the record, JSON
``BASE:leases``      zset id -> when its lease ends, in ms of Redis's clock; not those that are suspects
``BASE:suspects``    zset id -> until when it is kept although its lease ran out
``BASE:reason``      text why there are suspects; expires with them
``BASE:changes``     list the last `LOG` changes, oldest first, each the JSON that was published
``BASE``             the channel on which each change is published
==================== ==== ==========================================================================================

The hash ``mesh:{MESH}:KINDs`` holds the version of every set: a counter that grows by 1 with each change and begins at
the time in ms, so that it is never the same again after the data was lost; ``:born`` is when the first of them was
made, and differs for whoever knew what was there before a loss.  The zset ``mesh:{MESH}:KINDs:empty`` says
since when a set is empty; after `FORGET` ms it is forgotten whole.

A change is ``{"v": VERSION, "op": ...}``, with
``"op":"set","id":ID,"record":{...}`` a record that is new or different, or a suspect that is none any more,
``"op":"del","ids":[...],"why":TEXT``,
``"op":"suspect","ids":[...],"until":MS,"why":TEXT`` leases that ran out together, and
``"op":"clear","ids":[...]`` suspects that renewed their leases.

Only Redis's own clock judges a lease, and whoever looks at a set sweeps it first.  Every script gets one key, the
prefix of the mesh, whose hash slot is that of all.
"""

from __future__ import annotations

# Changes kept of each set; who has missed more reads the whole set.
LOG = 100
# How long a set without records is remembered, with its version; ms.
FORGET = 3_600_000
# Leases that one look ends at most, so that no script takes long; the next look follows at once.
SWEPT_AT_ONCE = 200

_NOW = """
local prefix, kind = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local versions = prefix .. kind .. 's'
"""

_TELL = f"""
local function tell(name, body)
  local base = prefix .. kind .. ':' .. name
  if redis.call('HSETNX', versions, name, string.format('%.0f', now)) == 1 then
    redis.call('HSETNX', versions, ':born', string.format('%.0f', now))
  end
  local version = redis.call('HINCRBY', versions, name, 1)
  local text = string.format('{{"v":%.0f,', version) .. body .. '}}'
  redis.call('RPUSH', base .. ':changes', text)
  redis.call('LTRIM', base .. ':changes', -{LOG}, -1)
  redis.call('PUBLISH', base, text)
  return version
end

local function removed(name, ids, why)
  local base = prefix .. kind .. ':' .. name
  redis.call('HDEL', base .. ':records', unpack(ids))
  redis.call('ZREM', base .. ':leases', unpack(ids))
  redis.call('ZREM', base .. ':suspects', unpack(ids))
  if redis.call('EXISTS', base .. ':records') == 0 then
    redis.call('ZADD', versions .. ':empty', now, name)
  end
  return tell(name, '"op":"del","ids":' .. cjson.encode(ids) .. ',"why":' .. cjson.encode(why))
end
"""

# The mass-expiry guard.  Leases that ran out, suspects, and instances that have missed two heartbeats are in doubt; if
# they are more than `share` percent of the set, and more than one, something else than they has failed: the network,
# or Redis stood still.  Then those whose lease ran out are kept as suspects.
_SWEEP = f"""
local function sweep(name, share, hold)
  local base = prefix .. kind .. ':' .. name
  local leases, suspects = base .. ':leases', base .. ':suspects'
  local over = redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, {SWEPT_AT_ONCE})
  if #over > 0 then
    local first = redis.call('HGET', base .. ':records', over[1])
    local known, record = pcall(cjson.decode, first or '')
    local late = 0
    if known and type(record) == 'table' then
      local lease, heartbeat = tonumber(record.lease) or 15, tonumber(record.heartbeat) or 5
      if heartbeat > 0 then late = math.max(0, (lease - 2 * heartbeat) * 1000) end
    end
    local suspected = redis.call('ZCARD', suspects)
    local all = redis.call('ZCARD', leases) + suspected
    local doubtful = redis.call('ZCOUNT', leases, '-inf', now + late) + suspected
    if doubtful > 1 and doubtful * 100 > share * all then
      local ends = string.format('%.0f', now + hold)
      local why = doubtful .. ' of ' .. all .. ' leases ran out together'
      redis.call('ZREM', leases, unpack(over))
      for _, id in ipairs(over) do redis.call('ZADD', suspects, ends, id) end
      redis.call('SET', base .. ':reason', why, 'PX', math.max(1, math.ceil(hold)) + 1000)
      local ids = cjson.encode(over)
      tell(name, '"op":"suspect","ids":' .. ids .. ',"until":' .. ends .. ',"why":"' .. why .. '"')
    else
      removed(name, over, 'its lease ran out')
    end
  end
  local ended = redis.call('ZRANGEBYSCORE', suspects, '-inf', now, 'LIMIT', 0, {SWEPT_AT_ONCE})
  if #ended > 0 then removed(name, ended, 'a suspect for too long') end
end

local function due(name)
  local base = prefix .. kind .. ':' .. name
  local lease = redis.call('ZRANGE', base .. ':leases', 0, 0, 'WITHSCORES')[2]
  local suspect = redis.call('ZRANGE', base .. ':suspects', 0, 0, 'WITHSCORES')[2]
  local first = math.min(lease and tonumber(lease) or math.huge, suspect and tonumber(suspect) or math.huge)
  return first == math.huge and -1 or math.max(0, first - now)
end
"""

# kind, name, id, record, ms of lease, owner -> version, and the record that a living other owner had there, or "".
PUT = (
    _NOW
    + _TELL
    + """
local name, id, record = ARGV[2], ARGV[3], ARGV[4]
local base = prefix .. kind .. ':' .. name
local before = redis.call('HGET', base .. ':records', id)
local lease = redis.call('ZSCORE', base .. ':leases', id)
redis.call('ZADD', base .. ':leases', string.format('%.0f', now + ARGV[5]), id)
local suspected = redis.call('ZREM', base .. ':suspects', id)
if before == record and suspected == 0 then
  return {tonumber(redis.call('HGET', versions, name) or '0'), ''}
end
redis.call('HSET', base .. ':records', id, record)
redis.call('ZREM', versions .. ':empty', name)
local other = ''
if before and lease and tonumber(lease) > now then
  local known, value = pcall(cjson.decode, before)
  if known and type(value) == 'table' and (value.owner or '') ~= ARGV[6] then other = before end
end
return {tell(name, '"op":"set","id":' .. cjson.encode(id) .. ',"record":' .. record), other}
"""
)

# kind, then for each group: name, ms of lease, how many, the ids -> name, id of each that is not there.
RENEW = (
    _NOW
    + _TELL
    + """
-- Renewing takes no memory, so it must work where there is none left: Redis refuses only the first write of a script.
redis.call('ZREM', versions .. ':empty', '')
local unknown, at = {}, 2
while ARGV[at] do
  local name, count = ARGV[at], tonumber(ARGV[at + 2])
  local ends = string.format('%.0f', now + ARGV[at + 1])
  local base = prefix .. kind .. ':' .. name
  local cleared = {}
  for index = at + 3, at + 2 + count do
    local id = ARGV[index]
    if redis.call('ZADD', base .. ':leases', 'XX', 'CH', ends, id) == 0
      and not redis.call('ZSCORE', base .. ':leases', id) then
      if redis.call('ZREM', base .. ':suspects', id) == 1 then
        redis.call('ZADD', base .. ':leases', ends, id)
        cleared[#cleared + 1] = id
      else
        unknown[#unknown + 1] = name
        unknown[#unknown + 1] = id
      end
    end
  end
  if #cleared > 0 then tell(name, '"op":"clear","ids":' .. cjson.encode(cleared)) end
  at = at + 3 + count
end
return unknown
"""
)

# kind, name, id, owner or nothing, why -> 1; 0: it is not there; -1: it is another owner's.
REMOVE = (
    _NOW
    + _TELL
    + """
local name, id, owner = ARGV[2], ARGV[3], ARGV[4]
local record = redis.call('HGET', prefix .. kind .. ':' .. name .. ':records', id)
if not record then return 0 end
if owner ~= '' then
  local known, value = pcall(cjson.decode, record)
  if known and type(value) == 'table' and (value.owner or '') ~= owner then return -1 end
end
removed(name, {id}, ARGV[5])
return 1
"""
)

# kind, name, id, why -> 1; 0: it is no suspect.
REFUSE = (
    _NOW
    + _TELL
    + """
local name, id = ARGV[2], ARGV[3]
if not redis.call('ZSCORE', prefix .. kind .. ':' .. name .. ':suspects', id) then return 0 end
removed(name, {id}, ARGV[4])
return 1
"""
)

# kind, name, id, field, its value as JSON -> version; 0: the record is not there.
AMEND = (
    _NOW
    + _TELL
    + """
local name, id = ARGV[2], ARGV[3]
local records = prefix .. kind .. ':' .. name .. ':records'
local record = redis.call('HGET', records, id)
if not record then return 0 end
local value = cjson.decode(record)
local wanted = cjson.decode('[' .. ARGV[5] .. ']')[1]
if value[ARGV[4]] == wanted then
  return tonumber(redis.call('HGET', versions, name) or '0')
end
value[ARGV[4]] = wanted
record = cjson.encode(value)
redis.call('HSET', records, id, record)
return tell(name, '"op":"set","id":' .. cjson.encode(id) .. ',"record":' .. record)
"""
)

# kind, share, hold, then names -> now, and for each its version and the ms until its next lease ends, or -1.
POLL = (
    _NOW
    + _TELL
    + _SWEEP
    + f"""
local names, dues, found = {{unpack(ARGV, 4)}}, {{}}, {{now}}
for index, name in ipairs(names) do
  local next = due(name)
  if next == 0 then
    sweep(name, tonumber(ARGV[2]), tonumber(ARGV[3]))
    next = due(name)
  end
  dues[index] = next
end
if #names > 0 then
  local known = redis.call('HMGET', versions, unpack(names))
  for index, version in ipairs(known) do
    found[#found + 1] = tonumber(version or '0')
    found[#found + 1] = dues[index]
  end
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', versions .. ':empty', '-inf', now - {FORGET}, 'LIMIT', 0, 8)) do
  local base = prefix .. kind .. ':' .. name
  if redis.call('EXISTS', base .. ':records') == 0 then
    redis.call('HDEL', versions, name)
    redis.call('DEL', base .. ':changes', base .. ':reason')
  end
  redis.call('ZREM', versions .. ':empty', name)
end
return found
"""
)

# kind, share, hold, name, the version known or 0, and what was :born then -> now, version, the changes since;
# or where these are not known any more: now, version, ids and records, ids and ends, ids and ends of suspects, why they
# are, and what was :born.
READ = (
    _NOW
    + _TELL
    + _SWEEP
    + """
local name, known = ARGV[4], tonumber(ARGV[5])
sweep(name, tonumber(ARGV[2]), tonumber(ARGV[3]))
local base = prefix .. kind .. ':' .. name
local version = tonumber(redis.call('HGET', versions, name) or '0')
local missed = version - known
local born = redis.call('HGET', versions, ':born') or ''
if born ~= ARGV[6] then known = 0 end
if known > 0 and missed == 0 then return {now, version, {}} end
if known > 0 and missed > 0 and missed <= redis.call('LLEN', base .. ':changes') then
  return {now, version, redis.call('LRANGE', base .. ':changes', -missed, -1)}
end
return {
  now, version, redis.call('HGETALL', base .. ':records'), redis.call('ZRANGE', base .. ':leases', 0, -1, 'WITHSCORES'),
  redis.call('ZRANGE', base .. ':suspects', 0, -1, 'WITHSCORES'), redis.call('GET', base .. ':reason') or '', born
}
"""
)

# kind, share, hold -> for each set: name, version, records under a lease, suspects.
LIST = (
    _NOW
    + _TELL
    + _SWEEP
    + """
local found = {}
for _, name in ipairs(redis.call('HKEYS', versions)) do
  if name ~= ':born' then
    sweep(name, tonumber(ARGV[2]), tonumber(ARGV[3]))
    local base = prefix .. kind .. ':' .. name
    found[#found + 1] = name
    found[#found + 1] = tonumber(redis.call('HGET', versions, name))
    found[#found + 1] = redis.call('ZCARD', base .. ':leases')
    found[#found + 1] = redis.call('ZCARD', base .. ':suspects')
  end
end
return found
"""
)
