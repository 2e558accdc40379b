-- Part of commit.lua: sessions and the time that they last.
--
-- All reports of one ID, in the order of their own times, are divided into sessions:
--
--   * The first report begins a session, and so does one more than expire_after later than the report before it.
--   * After an end, only a start begins a session. Other reports are ignored until then.
--   * At the same time, an end comes before a start if a session is open, and after it if none is.
--   * A session lasts for the sum of the gaps between its reports. A gap longer than the timeout adds the timeout
--     only. A gap before a start adds nothing, because it may lie between two sessions.
--
-- A session is stored as spans: reports of an open session whose gaps are not longer than the timeout. A start begins
-- a span, an end ends it, and a report that is ignored has one of its own:
--
--   reports     start 10, 40, end 55    ignored: 90    start 200, 230, 310    timeout 60
--   spans       s10 ......... 55e       90             s200 .... 230   310
--   duration    45                                     30 + 60
--
-- So the order in which reports arrive does not matter, and a repeated one adds nothing. But a count cannot fall. If a
-- late report makes the sessions of an ID fewer or shorter, the difference is stored, and later sessions and
-- milliseconds of that ID are counted only when it is used up.
--
-- hash        session ID -> '<span>,<span>...[;<lost>;<surplus>;<debt>]:<event ID>[\n<event ID>...]'
--             span      '[s]<first>[+<last - first>][e]', in Unix milliseconds, oldest first
--             lost      1 if older spans were dropped; reports up to the first stored time are then ignored
--             surplus   sessions that were counted and are none any more
--             debt      milliseconds that were counted and are none any more
--             event ID  of each session, in the order of time; the last one is also that of all further sessions
-- sorted set  open: IDs whose last session has not ended
-- sorted set  ended: the other IDs
--             The score is the time of the last report, but at most the time of the update, and at least expire_after
--             before that: an old report may be read today. An ID is removed KEPT_MS after its score has expired.

local MOST_SPANS = 32  -- of an ID; beyond that the oldest is dropped
local MOST_DROPS = 1000  -- IDs removed in one call
local SKEW_MS = 100  -- an end that is earlier by this than the begin of a session ends it: clocks differ
local KEPT_MS = 24 * 3600 * 1000  -- reports may be as late as this

-- Returns an object for the stored sessions of one group. now, timeout and expire_after are in milliseconds. timeout 0
-- and max_sessions 0 mean no limit. With `auto` the gap between a start and an end counts in full if no report is
-- between them.
local function Sessions(hash, open, ended, now, timeout, expire_after, max_sessions, auto)
    local self, loaded, changed = {}, {}, {}
    for _, key in ipairs({open, ended}) do
        redis.call('ZCARD', key)  -- an unexpected type is an error before the first write
    end
    redis.call('HLEN', hash)

    local function parse(value)
        local list, lost, surplus, debt, names = value:match('^([^:;]*);?(%d*);?(%d*);?(%d*):(.*)$')
        local spans, events = {}, {names}
        for start, first, length, stop in list:gmatch('(s?)(%d+)%+?(%d*)(e?)') do
            first = tonumber(first)
            spans[#spans + 1] = {first, first + (tonumber(length) or 0), start == 's', stop == 'e'}
        end
        if names:find('\n', 1, true) then
            events = {}
            for name in names:gmatch('[^\n]+') do
                events[#events + 1] = name
            end
        end
        return {
            spans = spans,
            events = events,
            lost = lost == '1',
            surplus = tonumber(surplus) or 0,
            debt = tonumber(debt) or 0,
        }
    end

    local function format(session)
        local words = {}
        for i, span in ipairs(session.spans) do
            local first, last, starts, ends = unpack(span)
            local length = last > first and string.format('+%.0f', last - first) or ''
            words[i] = (starts and 's' or '') .. string.format('%.0f', first) .. length .. (ends and 'e' or '')
        end
        local state = ''
        if session.lost or session.surplus > 0 or session.debt > 0 then
            state = string.format(';%d;%d;%.0f', session.lost and 1 or 0, session.surplus, session.debt)
        end
        local events = session.events
        while #events > 1 and events[#events] == events[#events - 1] do
            events[#events] = nil
        end
        return table.concat(words, ',') .. state .. ':' .. table.concat(events, '\n')
    end

    -- Returns the spans with one more report, or nil if it is in them already. A report inside a span divides it, unless
    -- it is a heartbeat.
    local function with(spans, action, time)
        local starts, ends = action == 'start', action == 'end'
        local result, is_in = {}, false
        for i, span in ipairs(spans) do
            local first, last = span[1], span[2]
            if starts and span[3] and first == time or ends and span[4] and last == time
                or not (starts or ends) and first <= time and time <= last then
                return nil
            elseif not is_in and last < time then
                result[i] = span
            elseif is_in or first > time then
                if not is_in then
                    result[#result + 1] = {time, time, starts, ends}
                    is_in = true
                end
                result[#result + 1] = span
            elseif starts and last == time and first < time and span[4] then
                result[#result + 1] = span  -- ended at the same time: the start is behind it
            elseif starts and first == time or ends and last == time then
                result[#result + 1] = {first, last, starts or span[3], ends or span[4]}
                is_in = true
            else
                result[#result + 1] = {first, time, span[3], ends}
                result[#result + 1] = {time, last, starts, span[4]}
                is_in = true
            end
        end
        if not is_in then
            result[#result + 1] = {time, time, starts, ends}
        end
        return result
    end

    -- Returns the times at which the sessions begin, their duration in milliseconds, and true if the last one is open.
    -- Returns also the spans; those of an open session whose gap is not longer than `joined_ms` have become one.
    local function sessions_of(spans, timeout, joined_ms)
        local begins, result, ms, state, before = {}, {}, 0, 'none', nil
        for _, span in ipairs(spans) do
            local first, last, starts, ends = span[1], span[2], span[3], span[4]
            local gap = before and first - before[2] or 0
            if gap > expire_after then
                state = 'none'
            end
            local was_open = state == 'open'
            local ends_and_starts = was_open and starts and ends and first == last
            if was_open and (ends_and_starts or not starts) then
                local is_whole = auto and ends and first == last and before[3] and before[1] == before[2]
                ms = ms + (is_whole and gap or math.min(gap, timeout))
            end
            if state == 'none' or ends_and_starts or starts and not was_open then
                begins[#begins + 1] = first
            end
            if state ~= 'ended' or starts then
                ms = ms + last - first
                state = ends and not ends_and_starts and 'ended' or 'open'
            end
            if was_open and not starts and not before[4] and gap <= joined_ms then
                before = {before[1], last, before[3], ends}
                result[#result] = before
            else
                before = span
                result[#result + 1] = span
            end
        end
        return begins, ms, state == 'open', result
    end

    -- Drops the oldest span that can be dropped. The sessions behind it stay the same.
    local function drop_oldest(session)
        local spans = session.spans
        local first, second, third = spans[1], spans[2], spans[3]
        local gap = second[1] - first[2]
        if first[4] and not second[3] and gap <= expire_after then  -- the second is ignored: it comes after an end
            if third[3] or third[1] - first[2] <= expire_after then
                table.remove(spans, 2)
                return
            end
            -- Without the second the third would begin a session, so the second becomes the end of the first session.
            second = {second[2], second[2], false, true}
        elseif first[4] or gap > expire_after then
            table.remove(session.events, 1)  -- the second begins another session
        elseif second[3] and second[4] and second[1] == second[2] then
            table.remove(session.events, 1)  -- the second ends the session of the first, and begins another
            second = {second[1], second[2], true, false}
        end
        table.remove(spans, 1)
        spans[1] = second
        session.lost = true
    end

    -- Returns the sessions of an ID, or nil if there are none.
    local function find(id)
        if loaded[id] == nil then
            local value = redis.call('HGET', hash, id)
            loaded[id] = value and parse(value) or false
        end
        return loaded[id] or nil
    end

    -- Applies a report, 'start', 'heartbeat' or 'end', to the sessions of an ID. Without an event it applies only to an
    -- ID that exists; if it begins a session, that has the event of the next one, or else of the one before.
    -- Returns how many sessions and milliseconds it adds, and the event that counts them.
    local function update(id, event, action, time, timeout)
        local session = find(id) or {spans = {}, events = {}, surplus = 0, debt = 0, is_new = true}
        if session.lost and time <= session.spans[1][1] then
            return 0, 0
        end
        local joined_ms = math.min(timeout, expire_after)
        local span = session.spans[1]
        if action == 'heartbeat' and span and not session.spans[2] and not span[4] and session.debt == 0
            and time > span[2] and time - span[2] <= joined_ms then
            -- The usual case needs no division into sessions: it is the newest report of the only span, which is open.
            local added = time - span[2]
            span[2], session.is_open, changed[id] = time, true, true
            session.was_open = session.was_open == nil or session.was_open
            return 0, added, session.events[1]
        end
        local old_begins, old_ms, was_open = sessions_of(session.spans, timeout, joined_ms)
        for _, begin in ipairs(action == 'end' and old_begins or {}) do
            if begin > time and begin - time <= SKEW_MS then
                time = begin
                break
            end
        end
        local reported = with(session.spans, action, time)
        if not reported then
            return 0, 0
        end
        local begins, ms, is_open, spans = sessions_of(reported, timeout, joined_ms)

        -- Sessions that began earlier than the report stay the same. It belongs to the last one that began by then.
        local at = #begins
        while at > 1 and begins[at] > time do
            at = at - 1
        end
        local events = session.events
        for i = #events + 1, #old_begins do
            events[i] = events[#events]
        end
        local n = 0
        for _ = 1, #begins - #old_begins do
            local begins_here = begins[at] == time and old_begins[at] ~= time
            local own = event or events[at] or events[#events]
            if begins_here and not own then
                return 0, 0
            end
            table.insert(events, begins_here and at or at + 1, begins_here and own or events[at])
            n = n + 1
        end
        for _ = 1, #old_begins - #begins do
            table.remove(events, at + 1)
            session.surplus = session.surplus + 1
        end
        local known = math.min(n, session.surplus)
        local added = ms - old_ms - session.debt
        session.surplus, session.debt = session.surplus - known, math.max(0, -added)

        local name = events[at]
        session.spans, session.is_open = spans, is_open
        if session.was_open == nil then
            session.was_open = was_open  -- as it is stored
        end
        while #session.spans > MOST_SPANS do
            drop_oldest(session)
        end
        loaded[id], changed[id] = session, true
        return n - known, math.max(0, added), name
    end

    -- Removes up to `n` IDs with a score of `before` or less, those idle for longest first.
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

    -- Applies the actions in words[first] to words[last], five words each: session ID, event number, action, time,
    -- timeout or '' for that of the group. The event IDs are the words behind words[before_events]. Changes are in memory
    -- until store().
    -- Returns what to add to the count of each event, by its number: sessions to event n, milliseconds to event n + 1.
    -- Returns also a list of action number, event ID for each action that counts for another event.
    function self.act(words, before_events, first, last)
        local sums, foreign = {}, {}
        for i = first, last, 5 do
            local event, own_timeout = tonumber(words[i + 1]), tonumber(words[i + 4])
            local name = event > 0 and words[before_events + event] or nil
            local limit = own_timeout or timeout
            local n, ms, counted_as = update(
                words[i], name, words[i + 2], tonumber(words[i + 3]), limit > 0 and limit or math.huge)
            if n + ms > 0 and counted_as ~= name then
                foreign[#foreign + 1], foreign[#foreign + 2] = string.format('%d', (i - first) / 5), counted_as
            elseif n + ms > 0 then
                sums[event] = (sums[event] or 0) + n
                sums[event + 1] = (sums[event + 1] or 0) + ms
            end
        end
        return sums, foreign
    end

    -- Writes the changed sessions, and removes expired ones and those over max_sessions.
    function self.store()
        local has_new = false
        for id in pairs(changed) do
            local session = loaded[id]
            local last = session.spans[#session.spans][2]
            redis.call('HSET', hash, id, format(session))
            if session.is_open ~= session.was_open then
                redis.call('ZREM', session.is_open and ended or open, id)
            end
            redis.call('ZADD', session.is_open and open or ended, math.min(now, math.max(last, now - expire_after)), id)
            has_new = has_new or session.is_new
        end
        if has_new then  -- otherwise the number of IDs has not grown
            drop(now - expire_after - KEPT_MS, MOST_DROPS)
            if max_sessions > 0 then
                drop('+inf', math.min(MOST_DROPS, redis.call('HLEN', hash) - max_sessions))
            end
        end
        for _, key in ipairs({hash, open, ended}) do
            redis.call('PEXPIRE', key, expire_after + KEPT_MS)  -- the keys go when no session is updated any more
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
