-- What wrk sends, by the environment (BENCH_METHOD, BENCH_BYTES), and its summary as one line of numbers.
local method = os.getenv("BENCH_METHOD")
if method then
   wrk.method = method
   wrk.body = string.rep("x", tonumber(os.getenv("BENCH_BYTES")))
   wrk.headers["Content-Type"] = "application/octet-stream"
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration, summary.bytes,
      latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
