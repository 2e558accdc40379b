-- Add a batch of counts and of session actions to every interval of a group, exactly once.
--
-- KEYS[1]  position of the source: its field in a hash of source ID -> position; or, if ARGV[4] is set, a string
-- then, if there are session actions, the keys of the group's sessions: hash, sorted set, sorted set; see
--          sessions.lua
-- then the counters, as the layout of the group has them; see count.lua and count_hash.lua
--
-- ARGV[1]  source ID, or '' for a batch of session actions only, which is safe to repeat
-- ARGV[2]  prev: the position that the source has before the batch
-- ARGV[3]  next: the position that it has after the batch
-- ARGV[4]  milliseconds after which the position expires, or '' to keep it for ever
-- ARGV[5]  now in milliseconds, or '' for the server's clock
-- ARGV[6]  number of events; then the event IDs; then their counts
-- then the number of intervals; then the length of each, as in boundary.lua
-- then the number of session actions; then five words for each:
--          session ID; event number; 'start', 'heartbeat' or 'end'; its time in Unix milliseconds; its timeout in
--          milliseconds, or '' for that of the group
-- then, if there are session actions, the limits of sessions: timeout and expire_after in milliseconds,
--          max_sessions, and '1' or '' for `timeout: auto`
--
-- The event number of an action counts the event IDs from 1. That event counts the sessions, and the next one
-- their time in milliseconds; the given counts of both are ''. An action with the number 0 applies only to a
-- session that exists.
--
-- Returns {outcome, now in milliseconds, third item, source ID, next}. The caller compares the last two with
-- its request, to detect a reply to another one.
--
--   outcome    third item                         effect
--   applied    stored position before, or ''      the batch was counted
--   duplicate  stored position, equal to next     none: the batch had been counted before
--   conflict   another stored position            none: the source is not at prev
--   events     list of action number, event ID    none: these actions, counted from 0, count for other events
--                                                 than the given ones; the caller sends the batch again with these
--   refused    list of event ID, key, error       none: these keys cannot be written; the event ID is '' where
--                                                 the key concerns the whole batch
--
-- Lua has no rollback. Every step that can fail comes before the first write, or undoes what it has written:
--
--   1. compare the stored position with prev and next
--   2. compute what the actions add to the counts, in memory
--   3. store next as the position
--   4. add the counts; on an error, undo them and restore the position
--   5. store the sessions

--!include clock
--!include count | count_hash
--!include sessions

local KEYS, ARGV, try, type = KEYS, ARGV, redis.pcall, type  -- locals are faster than globals
local key, source, prev, next, keep_ms = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local n_events = tonumber(ARGV[6])
local before_lengths = 7 + 2 * n_events
local n_intervals = tonumber(ARGV[before_lengths])
local before_actions = before_lengths + n_intervals + 1
local n_actions = tonumber(ARGV[before_actions])
local first = n_actions > 0 and 5 or 2
assert(keys_match(#KEYS - first + 1, n_intervals, n_events), 'commit: KEYS do not match ARGV')

local now = milliseconds(ARGV[5])

-- 1. Compare positions. `try` returns a table with the field err in place of an error.
local stored = false
if source ~= '' then
    stored = keep_ms == '' and try('HGET', key, source) or keep_ms ~= '' and try('GET', key)
    if type(stored) == 'table' then
        return {'refused', now, {'', key, stored.err}, source, next}
    elseif stored and (stored == next or stored ~= prev) then
        -- Write the position again, unchanged. A replica rejects the write: its position may be older or newer
        -- than its primary's. And WAIT or WAITAOF on this connection then covers the position.
        local written = keep_ms == '' and try('HSET', key, source, stored) or try('SET', key, stored, 'KEEPTTL')
        if type(written) == 'table' and written.err then
            return {'refused', now, {'', key, written.err}, source, next}
        end
        return {stored == next and 'duplicate' or 'conflict', now, stored, source, next}
    end
end

-- 2. Compute what the actions add. count() then gets a copy of the arguments with the sums.
local keys, words, at = KEYS, ARGV, 6

local sessions
if n_actions > 0 then
    local before_limits = before_actions + 5 * n_actions
    local timeout, expire_after, max_sessions, auto = unpack(ARGV, before_limits + 1)
    sessions = Sessions(
        KEYS[2], KEYS[3], KEYS[4], now, tonumber(timeout), tonumber(expire_after), tonumber(max_sessions), auto ~= '')
    local sums, foreign = sessions.act(ARGV, 6, before_actions + 1, before_limits)
    if #foreign > 0 then
        return {'events', now, foreign, source, next}
    end
    keys, first, words, at = with_sums(keys, first, words, at, sums)
end

-- 3. Store the position. A server that is out of memory rejects the first write of a script, and only that:
-- here nothing needs to be undone.
if source ~= '' then
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

-- 4. Add the counts. count() undoes its own writes on an error; the position is restored here.
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

-- 5. Store the sessions.
if sessions then
    sessions.store()
end
return {'applied', now, stored or '', source, next}
