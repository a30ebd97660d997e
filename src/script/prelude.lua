-- The sandbox: what a script finds when it looks around.
--
-- Lua 5.1 as Redis ships it is patched so that a table can be made read-only. Here the same is had with stand-ins: a
-- sealed table is an empty one whose metatable reads from the real table and refuses writes. The functions that look
-- behind metatables (rawset, rawget, next, pairs, getmetatable, setmetatable, table.insert) know the stand-ins, so a
-- script cannot tell, nor leave anything behind for the next script.
--
-- Every place that catches errors turns what natives raise into plain Lua values, and throws a kill again.

local natives, libraries, slots, functions_vm = ...

local error, type, tostring, select = error, type, tostring, select
local raw_assert, raw_pcall, raw_xpcall, raw_next = assert, pcall, xpcall, next
local raw_rawset, raw_rawget = rawset, rawget
local raw_getmetatable, raw_setmetatable = getmetatable, setmetatable
local raw_unpack, raw_loadstring, raw_load = unpack, loadstring, load
local raw_resume, raw_insert = coroutine.resume, table.insert
local raw_collectgarbage, raw_ipairs = collectgarbage, ipairs
local byte, match, tonumber, fmod = string.byte, string.match, tonumber, math.fmod
local unwrap, dying, tick = natives.unwrap, natives.dying, natives.tick
local called_as, handler = natives.called_as, natives.handler

local READONLY = 'Attempt to modify a readonly table'
local real = {}   -- stand-in -> the table behind it
local shown = {}  -- stand-in -> what getmetatable answers for it, false for nothing

local function refuse()
  error(READONLY, 2)
end

local function seal(table, metatable)
  local standin = raw_setmetatable({}, {__index = table, __newindex = refuse})
  real[standin] = table
  shown[standin] = metatable or false
  return standin
end

local function missing(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end

-- "bad argument" for the function of this file that calls it. A tail call hides what the script called it by.
local function bad_argument(index, why, name)
  local seen = called_as(2)
  if seen == '?' then seen = name end
  error('bad argument #' .. index .. " to '" .. seen .. "' (" .. why .. ')', 3)
end

local function expected(what, value)
  local got = type(value)
  return what .. ' expected, got ' .. (got == 'nil' and 'no value' or got)
end

local function table_expected(value)
  return 'table expected, got ' .. type(value)
end

-- Natives called from here say so in front of their texts, which is none of the script's business.
local function without_position(text)
  return match(text, '^%(sandbox%):%d+: (.*)') or text
end

-- Errors -----------------------------------------------------------------------------------------------------------

-- Redis gives error tables to pcall as their text, as it did before errors were tables.
local function caught(ok, ...)
  if ok then return true, ... end
  local e = ...
  if type(e) == 'userdata' then e = unwrap(e) end
  if type(e) == 'string' then
    -- Filling the memory again and again takes few instructions and much time.
    if e == 'not enough memory' then tick() end
    return false, without_position(e)
  end
  if type(e) == 'table' then
    local text = e.err
    if type(text) == 'string' or type(text) == 'number' then e = text end
  end
  return false, e
end

local function pcall(...)
  return caught(raw_pcall(...))
end

local function settled(ok, ...)
  if not ok then unwrap(nil) end
  return ok, ...
end

local function xpcall(f, on_error)
  return settled(raw_xpcall(f, function(e)
    -- No throw from here: it would come back as an overflow, and the script's handler would run where no hook does.
    if dying() then return nil end
    if type(e) == 'userdata' then e = unwrap(e) end
    return on_error(e)
  end))
end

local function resumed(ok, ...)
  if ok then return true, ... end
  local e = ...
  if type(e) == 'userdata' then e = unwrap(e) end
  return false, e
end

local function resume(...)
  return resumed(raw_resume(...))
end

-- Code from text ---------------------------------------------------------------------------------------------------

-- A leading space makes the parser meet the mark of compiled code as the stray character it is. The chunk's name is cut
-- at a NUL and kept on the stack, since the parser does not keep it alive by itself.
local function source(text)
  if byte(text, 1) == 27 then return ' ' .. text end
  return text
end

local function loadstring(text, name)
  if type(text) == 'number' then text = tostring(text) end
  if type(text) ~= 'string' then bad_argument(1, expected('string', text), 'loadstring') end
  if name == nil then name = text end
  if type(name) == 'number' then name = tostring(name) end
  if type(name) ~= 'string' then bad_argument(2, expected('string', name), 'loadstring') end
  name = match(name, '^%Z*')
  local f, e = raw_loadstring(source(text), name)
  if f then return f end
  return nil, e
end

local function load(reader, name)
  if type(reader) ~= 'function' then bad_argument(1, expected('function', reader), 'load') end
  if name == nil then name = '=(load)' end
  if type(name) ~= 'string' then bad_argument(2, expected('string', name), 'load') end
  name = match(name, '^%Z*')
  local begun = false
  local f, e = raw_load(function()
    local piece = reader()
    if not begun and type(piece) == 'string' and piece ~= '' then
      begun = true
      piece = source(piece)
    end
    return piece
  end, name)
  if f then return f end
  return nil, unwrap(e)
end

-- Tables -----------------------------------------------------------------------------------------------------------

local function next(t, key)
  if type(t) ~= 'table' then bad_argument(1, table_expected(t), 'next') end
  return raw_next(real[t] or t, key)
end

local function pairs(t)
  if type(t) ~= 'table' then bad_argument(1, table_expected(t), 'pairs') end
  if real[t] then return next, t, nil end
  return raw_next, t, nil
end

local function rawget(t, key)
  if type(t) ~= 'table' then bad_argument(1, table_expected(t), 'rawget') end
  return raw_rawget(real[t] or t, key)
end

local function rawset(t, key, value)
  if type(t) ~= 'table' then bad_argument(1, table_expected(t), 'rawset') end
  if real[t] then error(READONLY, 0) end
  return raw_rawset(t, key, value)
end

local function getmetatable(value)
  if type(value) == 'table' and real[value] then return shown[value] or nil end
  return raw_getmetatable(value)
end

local function setmetatable(t, metatable)
  if type(t) ~= 'table' then bad_argument(1, table_expected(t), 'setmetatable') end
  if metatable ~= nil and type(metatable) ~= 'table' then bad_argument(2, 'nil or table expected', 'setmetatable') end
  if real[t] then error(READONLY, 0) end
  return raw_setmetatable(t, metatable)
end

local function insert(t, ...)
  if type(t) ~= 'table' then bad_argument(1, table_expected(t), 'insert') end
  if real[t] then error(READONLY, 0) end
  local count = select('#', ...)
  if count == 0 or count > 2 then error("wrong number of arguments to 'insert'", 2) end
  if count == 2 then
    local position = ...
    local at = tonumber(position)
    if not at then bad_argument(2, 'number expected, got ' .. type(position), 'insert') end
    -- Lua would shift every slot between here and there, where nothing can stop it.
    if not (at > -10000 and at < 2^31) then bad_argument(2, 'position out of bounds', 'insert') end
  end
  return raw_insert(t, ...)
end

-- A number as Lua's own functions take it where they want an int of C: without its fraction, and of 32 bits.
local function int(number)
  if not (number > -2^63 and number < 2^63) then return 0 end
  local low = fmod(number - fmod(number, 1), 2^32)
  if low >= 2^31 then return low - 2^32 end
  return low < -2^31 and low + 2^32 or low
end

-- More results than this and natives could not take them as arguments. Numbers cost them nothing.
local RESULTS_MAX, STRINGS_MAX = 7999, 7500

local function unpack(t, first, last)
  if type(t) ~= 'table' then bad_argument(1, table_expected(t), 'unpack') end
  local i, j = 1, nil
  if first ~= nil then
    i = tonumber(first)
    if not i then bad_argument(2, 'number expected, got ' .. type(first), 'unpack') end
    i = int(i)
  end
  if last == nil then
    j = #t
  else
    j = tonumber(last)
    if not j then bad_argument(3, 'number expected, got ' .. type(last), 'unpack') end
    j = int(j)
  end
  local count = j - i
  if count >= RESULTS_MAX then error('too many results to unpack', 2) end
  if count >= STRINGS_MAX then
    local others = 0
    for k = i, j do
      if type(raw_rawget(t, k)) ~= 'number' then others = others + 1 end
    end
    if others > STRINGS_MAX then error('too many results to unpack', 2) end
  end
  if first == nil and last == nil then return raw_unpack(t) end
  return raw_unpack(t, i, j)
end

-- Scripts share one collector: they may look and collect, not stop or tune it.
local function collectgarbage(option, argument)
  if option == nil or option == 'collect' or option == 'count' or option == 'step' then
    return raw_collectgarbage(option, argument)
  end
  if option == 'stop' or option == 'restart' then return 0 end
  if option == 'setpause' or option == 'setstepmul' then return 200 end
  bad_argument(1, "invalid option '" .. tostring(option) .. "'", 'collectgarbage')
end

-- Strings ----------------------------------------------------------------------------------------------------------

local match_from = natives.match_from

local function gmatch(text, pattern)
  if type(text) == 'number' then text = tostring(text) end
  if type(pattern) == 'number' then pattern = tostring(pattern) end
  if type(text) ~= 'string' then bad_argument(1, expected('string', text), 'gmatch') end
  if type(pattern) ~= 'string' then bad_argument(2, expected('string', pattern), 'gmatch') end
  local position = 0
  local function found(after, ...)
    position = after
    return ...
  end
  return function()
    if position then return found(match_from(text, pattern, position)) end
  end
end

-- What scripts see -------------------------------------------------------------------------------------------------

local function copy(table, names)
  local out = {}
  for name in names:gmatch('%S+') do out[name] = raw_assert(table[name], name) end
  return out
end

local globals = _G
local string_library = copy(string, 'byte char dump format len lower reverse sub upper')
string_library.find, string_library.match = natives.find, natives.match
string_library.gsub, string_library.rep = natives.gsub, natives.rep
string_library.gmatch, string_library.gfind = gmatch, gmatch

local table_library = copy(table, 'concat foreach foreachi getn maxn remove setn sort')
table_library.insert = insert

local math_library = copy(math, 'abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 '
  .. 'max min mod modf pi pow rad sin sinh sqrt tan tanh')
math_library.random, math_library.randomseed = natives.random, natives.randomseed

local coroutine_library = copy(coroutine, 'create running status wrap yield')
coroutine_library.resume = resume

local string_standin = seal(string_library)
local redis_standin = seal(libraries.redis)

local visible = {
  _VERSION = _VERSION,
  assert = raw_assert, collectgarbage = collectgarbage, error = error, gcinfo = gcinfo, getmetatable = getmetatable,
  ipairs = raw_ipairs, load = load, loadstring = loadstring, next = next, pairs = pairs, pcall = pcall,
  rawequal = rawequal, rawget = rawget, rawset = rawset, select = select, setmetatable = setmetatable,
  tonumber = tonumber, tostring = tostring, type = type, unpack = unpack, xpcall = xpcall,
  coroutine = seal(coroutine_library), math = seal(math_library), os = seal({clock = os.clock}),
  string = string_standin, table = seal(table_library),
  bit = seal(libraries.bit), cjson = seal(libraries.cjson), cmsgpack = seal(libraries.cmsgpack),
  struct = seal(libraries.struct), redis = redis_standin, server = redis_standin,
  _G = globals,
}
raw_setmetatable(visible, {__index = missing})

local string_metatable = raw_getmetatable('')
string_metatable.__index = string_library
string_metatable.__metatable = seal({__index = string_standin})

for name in raw_next, globals do globals[name] = nil end
local globals_metatable = {__index = visible, __newindex = refuse}
raw_setmetatable(globals, globals_metatable)
real[globals] = visible
shown[globals] = seal({__index = functions_vm and seal(visible) or missing})

-- Running ----------------------------------------------------------------------------------------------------------

local machine = {}

-- Puts a script into a slot; answers what is wrong with it.
function machine.compile(slot, body)
  local f, e = raw_loadstring(source(body), '@user_script')
  if not f then return e end
  slots[slot] = f
end

-- Where KEYS and ARGV are put before a script of EVAL runs.
machine.globals = visible

-- The body of a library sees nothing but its own `redis`.
local library_standin = seal(raw_setmetatable(libraries.library, {__index = missing}))
local library_globals = raw_setmetatable({redis = library_standin, server = library_standin}, {__index = missing})

-- Answers false and what is wrong when the code does not compile, nil and whether it ran otherwise.
function machine.load(body)
  local f, e = raw_loadstring(source(body), '@user_function')
  if not f then return false, e end
  globals_metatable.__index, real[globals] = library_globals, library_globals
  local ok, value = raw_xpcall(f, handler)
  globals_metatable.__index, real[globals] = visible, visible
  return nil, ok, value
end

return machine
