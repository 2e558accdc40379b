-- Part of commit.lua: sessions and the time that they last.
--
-- A session is a list of times at which it was alive. Its duration is the sum of the gaps between them, where a gap
-- longer than the timeout adds the timeout only. Times whose gaps are not longer are stored as one span:
--
--   times       10   40   55               200   230        timeout 60
--   spans       10 ...... 55               200 . 230
--   duration         45          + 60          + 30         = 135
--
-- So a late time counts as if it had come in order, and a repeated time adds nothing.
--
-- hash        session ID -> '<start>,<end>,<first>,<last>,<first>,<last>...:<event ID>', in Unix milliseconds.
--             Start and end are empty until they are known; first and last are those of each span.
-- sorted set  open: sessions that have not ended; the score is the time of their last update, in milliseconds
-- sorted set  ended: sessions that have ended; the score likewise

local MOST_SPANS = 32  -- of a session; beyond that the two oldest become one
local MOST_DROPS = 1000  -- sessions removed in one call

-- Returns an object for the stored sessions of one group. now, timeout and expire_after are in milliseconds. timeout 0
-- and max_sessions 0 mean no limit.
local function Sessions(hash, open, ended, now, timeout, expire_after, max_sessions)
    local self, loaded, changed = {}, {}, {}
    timeout = timeout > 0 and timeout or math.huge
    for _, key in ipairs({open, ended}) do
        redis.call('ZCARD', key)  -- an unexpected type is an error before the first write
    end
    redis.call('HLEN', hash)

    local function parse(value)
        local words, event = value:match('^([^:]*):(.*)$')
        local numbers = {}
        for word in (words .. ','):gmatch('([^,]*),') do
            numbers[#numbers + 1] = tonumber(word) or false
        end
        return {event = event, start = numbers[1], stop = numbers[2], spans = {unpack(numbers, 3)}}
    end

    local function format(session)
        local words = {}
        for i, number in ipairs({session.start, session.stop, unpack(session.spans)}) do
            words[i] = number and string.format('%.0f', number) or ''
        end
        return table.concat(words, ',') .. ':' .. session.event
    end

    -- Returns the duration in milliseconds.
    local function duration(spans)
        local sum = 0
        for i = 1, #spans, 2 do
            -- A gap is shorter than the timeout if the spans were stored with a shorter one.
            local gap = i > 1 and math.min(spans[i] - spans[i - 1], timeout) or 0
            sum = sum + gap + spans[i + 1] - spans[i]
        end
        return sum
    end

    -- Returns the spans with one more time. Spans that it connects become one.
    local function with(spans, time)
        local result, first, last = {}, time, time
        for i = 1, #spans, 2 do
            if spans[i + 1] + timeout < first then
                result[#result + 1], result[#result + 2] = spans[i], spans[i + 1]
            elseif spans[i] - timeout > last then
                result[#result + 1], result[#result + 2] = first, last
                first, last = spans[i], spans[i + 1]
            else
                first, last = math.min(first, spans[i]), math.max(last, spans[i + 1])
            end
        end
        result[#result + 1], result[#result + 2] = first, last
        return result
    end

    -- Adds a time to a session. Returns by how many milliseconds its duration grows.
    local function add(session, time)
        if session.stop and (time > session.stop or session.start and time < session.start) then
            return 0
        end
        local spans = with(session.spans, time)
        local added = duration(spans) - duration(session.spans)
        if #session.spans == 0 then
            added = 0
        end
        if #spans > 2 * MOST_SPANS then
            table.remove(spans, 2)
            table.remove(spans, 2)
        end
        session.spans = spans
        return added
    end

    -- Returns the session with that ID, or nil if there is none or it has expired.
    local function find(id)
        if loaded[id] == nil then
            local seen = redis.call('ZSCORE', open, id) or redis.call('ZSCORE', ended, id)
            local value = seen and tonumber(seen) > now - expire_after and redis.call('HGET', hash, id)
            loaded[id] = value and parse(value) or false
        end
        return loaded[id] or nil
    end

    -- Applies an action, 'start', 'heartbeat' or 'end', to a session. The first start and the first end are kept.
    -- Returns true if the session is new, and by how many milliseconds its duration grows.
    local function update(id, event, action, time)
        local session = find(id)
        local is_new = not session
        if is_new then
            session = {event = event, start = false, stop = false, spans = {}, is_new = true}
            loaded[id] = session
        end
        if action == 'start' then
            if session.start then
                return false, 0
            elseif not session.stop or time <= session.stop then
                session.start = time
            end
        elseif action == 'end' then
            session.stop = session.stop or time
        end
        changed[id] = true
        return is_new, add(session, time)
    end

    -- Removes up to `n` sessions whose last update was at `before` or earlier, those idle for longest first.
    local function drop(before, n)
        while n > 0 do
            local oldest
            for _, key in ipairs({open, ended}) do
                local id, seen = unpack(redis.call('ZRANGEBYSCORE', key, '-inf', before, 'WITHSCORES', 'LIMIT', 0, 1))
                if id and (not oldest or tonumber(seen) < oldest.seen) then
                    oldest = {key = key, id = id, seen = tonumber(seen)}
                end
            end
            if not oldest then
                return
            end
            redis.call('ZREM', oldest.key, oldest.id)
            redis.call('HDEL', hash, oldest.id)
            n = n - 1
        end
    end

    -- Applies the actions in words[first] to words[last], four words each: session ID, event number, action, time. The
    -- event IDs are the words behind words[before_events]. Changes are in memory until store().
    -- Returns what to add to the count of each event, by its number: sessions to event n, milliseconds to event n + 1.
    -- Returns also a list of session ID, event ID for each session that belongs to another event.
    function self.act(words, before_events, first, last)
        local sums, foreign = {}, {}
        for i = first, last, 4 do
            local id, event, action, time = words[i], tonumber(words[i + 1]), words[i + 2], tonumber(words[i + 3])
            local name = event > 0 and words[before_events + event] or nil
            local session = find(id)
            if session and session.event ~= name then
                foreign[#foreign + 1], foreign[#foreign + 2] = id, session.event
            elseif event > 0 then
                local is_new, added = update(id, name, action, time)
                sums[event] = (sums[event] or 0) + (is_new and 1 or 0)
                sums[event + 1] = (sums[event + 1] or 0) + added
            end
        end
        return sums, foreign
    end

    -- Writes the changed sessions, and removes expired ones and those over max_sessions.
    function self.store()
        local has_new = false
        for id in pairs(changed) do
            local session = loaded[id]
            redis.call('HSET', hash, id, format(session))
            if session.is_new or session.stop then
                redis.call('ZREM', session.stop and open or ended, id)
            end
            redis.call('ZADD', session.stop and ended or open, now, id)
            has_new = has_new or session.is_new
        end
        if has_new then  -- otherwise the number of sessions has not grown
            drop(now - expire_after, MOST_DROPS)
            if max_sessions > 0 then
                drop('+inf', math.min(MOST_DROPS, redis.call('HLEN', hash) - max_sessions))
            end
        end
        for _, key in ipairs({hash, open, ended}) do
            redis.call('PEXPIRE', key, expire_after)  -- the keys go when no session is updated any more
        end
    end

    return self
end

-- Returns the arguments of count() for a batch with the sums of sessions, which are by event number. An event that has
-- neither a count nor a sum is left out.
local function with_sums(keys, first, words, at, sums)
    local n_events = tonumber(words[at])
    local numbers, names, counts = {}, {}, {}
    for i = 1, n_events do
        local n = words[at + n_events + i]
        if n ~= '' or (sums[i] or 0) > 0 then
            numbers[#numbers + 1] = i
            names[#names + 1] = words[at + i]
            counts[#counts + 1] = n ~= '' and n or string.format('%.0f', sums[i])
        end
    end
    local some_words = {#numbers}
    for _, list in ipairs({names, counts}) do
        for _, word in ipairs(list) do
            some_words[#some_words + 1] = word
        end
    end
    local before_lengths = at + 2 * n_events + 1
    for i = before_lengths, before_lengths + tonumber(words[before_lengths]) do
        some_words[#some_words + 1] = words[i]
    end
    return keys_of(keys, first, tonumber(words[before_lengths]), n_events, numbers), 1, some_words, 1
end
