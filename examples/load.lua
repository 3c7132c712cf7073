-- For wrk: ask for the files of a list, and compare each answer with its file.
--
--	wrk -t N -c N -s load.lua URL -- FOLDER LIST
--
-- LIST names files below FOLDER, one a line.  Earlier ones are asked for more
-- often, the k-th about 1/k as often as the first (Zipf).  N threads for N
-- connections: a thread has one request under way, and so knows what its answer
-- must be.
--
-- Ends with `load: answers=N wrong=N failed=N moved=N workers=N`: `wrong` answers
-- had another status or other bytes than the file; `failed` requests got none;
-- `moved` counts how often a connection had to find another worker.

local threads = {}

function setup(thread)
	table.insert(threads, thread)
	thread:set("seed", #threads)
end

function init(args)
	folder, paths, files = args[1], {}, {}
	for path in io.lines(args[2]) do
		table.insert(paths, path)
	end
	answers, wrong, moved, by_worker = 0, 0, 0, {}
	math.randomseed(seed)
end

local function escape(path)
	return (path:gsub("[^%w._~/-]", function(byte)
		return string.format("%%%02X", byte:byte())
	end))
end

local function contents(path)
	if not files[path] then
		local file = assert(io.open(folder .. "/" .. path, "rb"))
		files[path] = file:read("*a")
		file:close()
	end
	return files[path]
end

function request()
	asked = paths[math.floor((#paths + 1) ^ math.random())]
	return wrk.format("GET", "/" .. escape(asked))
end

function response(status, headers, body)
	local worker = headers["X-Worker"] or "?"

	answers = answers + 1
	if status ~= 200 or body ~= contents(asked) then
		wrong = wrong + 1
	end
	if last_worker and worker ~= last_worker then
		moved = moved + 1
	end
	last_worker = worker
	by_worker[worker] = (by_worker[worker] or 0) + 1
end

function done(summary)
	local sum = { answers = 0, wrong = 0, moved = 0 }
	local workers, names = {}, {}
	local errors = summary.errors
	local failed = errors.connect + errors.read + errors.write +
	    errors.timeout

	for _, thread in ipairs(threads) do
		for name in pairs(sum) do
			sum[name] = sum[name] + thread:get(name)
		end
		for worker, n in pairs(thread:get("by_worker")) do
			workers[worker] = (workers[worker] or 0) + n
		end
	end
	for worker in pairs(workers) do
		table.insert(names, worker)
	end
	table.sort(names)
	print("Answers by worker process:")
	for _, worker in ipairs(names) do
		print(string.format("%10s %9d", worker, workers[worker]))
	end
	print(string.format(
	    "load: answers=%d wrong=%d failed=%d moved=%d workers=%d",
	    sum.answers, sum.wrong, failed, sum.moved, #names))
end
