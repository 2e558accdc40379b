-- Add a batch of counts, and what sessions come to, to every interval of a group, exactly once.
--
-- KEYS[1]  hash: source ID -> last committed position; or, where positions are kept for some time only,
--          string: the position of this source
-- then, if there are actions of sessions, the keys of the group's sessions: hash, sorted set, sorted set
--          (see sessions.lua)
-- then what is counted in, as the layout of the group has it: see count.lua and count_hash.lua
--
-- ARGV[1]  source ID; '' if the batch is of actions only, which may be repeated
-- ARGV[2]  position that the source is expected at ("prev")
-- ARGV[3]  position that the batch takes it to ("next")
-- ARGV[4]  milliseconds for which the position is kept, or '' for ever
-- ARGV[5]  now in milliseconds, or '' for the server's clock
-- ARGV[6]  number of events; then the event IDs, then their counts
-- then number of intervals; then the length of each in milliseconds
-- then number of actions; then, for each, session ID, number of its event from 1, 'start', 'heartbeat' or
--          'end', and when that was in Unix milliseconds. The number is 0 if only a session that is there
--          is meant. The event after that one is given its time in milliseconds. The counts of both are ''.
-- then, if there are actions, what limits sessions: timeout, expire_after in milliseconds, most
--
-- Returns {outcome, now in milliseconds, ..., source ID, next}, the last two so that it is clear which
-- request this answers:
--   applied    stored position before ('' if there was none): the batch was counted
--   duplicate  stored position: it had been counted before; nothing changed
--   conflict   stored position: the source is somewhere else; nothing changed
--   events     list of session ID, event ID: sessions that belong to other events than given; nothing
--              changed. To be sent again with those.
--   refused    list of event ID, key, error for each key that is in the way; nothing
--              changed. The event ID is '' where the key concerns the whole batch.

--!include clock
--!include count | count_hash
--!include sessions

local KEYS, ARGV, try, type = KEYS, ARGV, redis.pcall, type  -- a local is found faster than a global
local key, source, prev, next, keep_ms = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local n_events = tonumber(ARGV[6])
local before_lengths = 7 + 2 * n_events
local n_intervals = tonumber(ARGV[before_lengths])
local before_actions = before_lengths + n_intervals + 1
local n_actions = tonumber(ARGV[before_actions])
local first = n_actions > 0 and 5 or 2
assert(fits(#KEYS - first + 1, n_intervals, n_events), 'commit: KEYS do not fit ARGV')

local now = milliseconds(ARGV[5])

-- What `try` returns in place of an answer is a table with the field err.
local stored = false
if source ~= '' then
    stored = keep_ms == '' and try('HGET', key, source) or keep_ms ~= '' and try('GET', key)
    if type(stored) == 'table' then
        return {'refused', now, {'', key, stored.err}, source, next}
    elseif stored and (stored == next or stored ~= prev) then
        -- Written again: a replica, which may know less or more than its primary, refuses that, and whoever
        -- waits for what this connection wrote waits for it, too.
        local written = keep_ms == '' and try('HSET', key, source, stored) or try('SET', key, stored, 'KEEPTTL')
        if type(written) == 'table' and written.err then
            return {'refused', now, {'', key, written.err}, source, next}
        end
        return {stored == next and 'duplicate' or 'conflict', now, stored, source, next}
    end
end

-- What is counted, as count() takes it.
local keys, words, at = KEYS, ARGV, 6

local sessions
if n_actions > 0 then
    local before_limits = before_actions + 4 * n_actions
    local timeout, expire_after, most = unpack(ARGV, before_limits + 1)
    sessions = Sessions(KEYS[2], KEYS[3], KEYS[4], now, tonumber(timeout), tonumber(expire_after), tonumber(most))
    local sums, others = sessions.act(ARGV, 6, before_actions + 1, before_limits)
    if #others > 0 then
        return {'events', now, others, source, next}
    end
    keys, first, words, at = with_sums(keys, first, words, at, sums)
end

if source ~= '' then
    -- The first write: where the server is out of memory, it refuses here, and only here.
    local moved
    if keep_ms == '' then
        moved = try('HSET', key, source, next)
    else
        moved = try('SET', key, next, 'PX', keep_ms)
    end
    if type(moved) == 'table' and moved.err then
        return {'refused', now, {'', key, moved.err}, source, next}
    end
end

local obstacles = count(keys, first, words, at, now)
if obstacles then
    if source ~= '' and keep_ms ~= '' then
        try('DEL', key)
    elseif stored then
        try('HSET', key, source, stored)
    elseif source ~= '' then
        try('HDEL', key, source)
    end
    return {'refused', now, obstacles, source, next}
end
if sessions then
    sessions.store()
end
return {'applied', now, stored or '', source, next}
