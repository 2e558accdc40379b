-- Part of rotate.lua and rotate_hash.lua: when to rotate, and what both layouts share.
--
-- `cur_ts` holds the start of the current interval, `last_ts` that of the last one. `boundary` is the latest boundary of
-- the interval, by `now`. The first line that applies decides:
--
--   start in cur_ts              outcome    change
--   differs from start_then      changed    none: another master was faster, or a worker has begun the interval
--   missing                      started    cur_ts = boundary
--   after now + length           restarted  cur_ts = boundary, last_ts deleted: the clock was wrong; counts stay
--   at the boundary or later     waiting    none: the interval is not over
--   before the boundary          rotated    cur -> last; last_ts = cur_ts; cur_ts = boundary

--!include clock
--!include boundary

-- Records that a master takes care of an interval: the number of finished intervals is then 0 instead of missing.
local function claim(finished)
    redis.pcall('SETNX', finished, '0')
end

-- Decides by the table above, and makes the change of 'started' and 'restarted'.
-- Returns the start of the current interval, the latest boundary, the milliseconds until the next one, and the reply,
-- which is nil for 'rotated'.
local function check(cur_ts, last_ts, start_then, length_word, now)
    local boundary, length = boundary_of(length_word, now)
    local until_next = boundary + length - now
    local start = redis.call('GET', cur_ts)
    local start_ms = start and math.floor((tonumber(start) or 0) * 1000 + 0.5)
    local answer
    if (start or '') ~= start_then then
        answer = {'changed', now, 0}
    elseif not start then
        redis.call('SET', cur_ts, seconds(boundary))
        answer = {'started', now, until_next}
    elseif start_ms > now + length then
        redis.call('DEL', last_ts)
        redis.call('SET', cur_ts, seconds(boundary))
        answer = {'restarted', now, until_next}
    elseif start_ms >= boundary then
        answer = {'waiting', now, start_ms + length - now}
    end
    return start, boundary, until_next, answer
end

-- Keys that have an unexpected type.
local obstacles = {}

-- Calls a command on a key that is less important than the counts. An unexpected type of that key is reported, and does
-- not stop the rotation.
local function try(command, key, ...)
    local answer = redis.pcall(command, key, ...)
    if type(answer) == 'table' and answer.err then
        obstacles[#obstacles + 1] = key
        return nil
    end
    return answer
end

-- Appends an interval to the history. `words` are the arguments of XADD before the ID. Returns the ID, or nil.
local function append_to_history(words, boundary, number, entry)
    local at = #words + 1
    words[at] = string.format('%.0f-%d', boundary, number)
    for i, word in ipairs(entry) do
        words[at + i] = word
    end
    local id = redis.pcall('XADD', unpack(words))
    if type(id) == 'table' then
        words[at] = '*'  -- the clock was ahead when the last ID was written, and IDs only grow
        id = try('XADD', unpack(words))
    end
    return id
end
