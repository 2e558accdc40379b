-- Try each command that the other scripts use, on a scratch key that is deleted at the end.
--
-- KEYS[1]  scratch key
--
-- Returns a list of errors, one sentence each. It is empty if the user may run all commands.

local key = KEYS[1]
local errors = {}

local function try(command, ...)
    local reply = redis.pcall(command, ...)
    if type(reply) == 'table' and reply.err then
        errors[#errors + 1] = command .. ' ' .. key .. ': ' .. reply.err
    end
end

try('TIME')
try('SET', key, '0')
try('SET', key, '0', 'PX', '1000')
try('GET', key)
try('MSET', key, '0')
try('MGET', key)
try('INCRBY', key, '1')
try('DECRBY', key, '1')
try('EXISTS', key)
try('TYPE', key)
try('DEL', key)
try('SETNX', key, '0')
try('DEL', key)
try('SADD', key, 'probe')
try('SMEMBERS', key)
try('SCARD', key)
try('SUNION', key)
try('SISMEMBER', key, 'probe')
try('SMISMEMBER', key, 'probe')
try('SREM', key, 'probe')
try('HSET', key, 'probe', '0')
try('HGET', key, 'probe')
try('HINCRBY', key, 'probe', '1')
try('HMGET', key, 'probe')
try('HGETALL', key)
try('HVALS', key)
try('HLEN', key)
try('HSCAN', key, '0')
try('HDEL', key, 'probe')
try('INCR', key)
try('DEL', key)
try('SADD', key, 'probe')
try('SSCAN', key, '0')
try('DEL', key)
try('ZADD', key, '0', 'probe')
try('ZCARD', key)
try('ZSCORE', key, 'probe')
try('ZMSCORE', key, 'probe')
try('ZCOUNT', key, '-inf', '+inf')
try('PEXPIRE', key, '1000')
try('ZRANGEBYSCORE', key, '-inf', '0')
try('ZREM', key, 'probe')
try('XADD', key, '*', 'probe', '0')
try('XRANGE', key, '-', '+')
try('XREVRANGE', key, '+', '-')
try('XLEN', key)
try('XDEL', key, '0-1')
try('RENAME', key, key)
try('UNLINK', key)
try('DEL', key)
return errors
