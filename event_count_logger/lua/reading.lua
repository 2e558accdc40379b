-- Part of read.lua and read_hash.lua: what both layouts share.

local MANY = 10000  -- events; reading more in one script blocks other clients for too long

-- Returns the reply to a command. Raises an error that names the key.
local function ask(command, key, ...)
    local answer = redis.pcall(command, key, ...)
    if type(answer) == 'table' and answer.err then
        error(key .. ': ' .. answer.err, 0)
    end
    return answer
end

-- Returns ID and fields of the newest interval in the history, or nil if that is not the last interval. `name` is the
-- third field of an interval in this layout; another name shows that the other layout has written it.
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
