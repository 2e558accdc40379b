-- Part of read.lua and read_hash.lua: what is the same however the counts are kept.

local MANY = 10000  -- reading more events at once keeps the server from others for too long

-- What the command answers; an error names the key.
local function ask(command, key, ...)
    local answer = redis.pcall(command, key, ...)
    if type(answer) == 'table' and answer.err then
        error(key .. ': ' .. answer.err, 0)
    end
    return answer
end

-- The newest interval in the history, its ID and its fields, if it is the last finished one. What comes behind
-- start and end is named differently in each layout.
local function last_entry(history, start, last_start, name)
    local newest = redis.pcall('XREVRANGE', history, '+', '-', 'COUNT', 1)[1]
    if type(newest) ~= 'table' then
        return nil
    end
    local id, fields = unpack(newest)
    if fields[2] ~= last_start or fields[4] ~= start then
        return nil
    elseif fields[5] ~= name then
        error(history .. ': the last interval was counted with another layout (ecl migrate moves it)', 0)
    end
    return id, fields
end
