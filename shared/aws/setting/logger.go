package setting

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// Logger returns the logger of a function: JSON to stdout with the keys that Lambda reads
// (timestamp, level, message), the invocation's requestId on what is logged with its
// context, and the level of AWS_LAMBDA_LOG_LEVEL. Unlike the runtime library's own it
// writes JSON whatever AWS_LAMBDA_LOG_FORMAT says, so that a log reads the same everywhere.
// What is logged beside must not use those four names, nor time and msg.
func Logger() *slog.Logger { return LoggerTo(os.Stdout, os.Getenv("AWS_LAMBDA_LOG_LEVEL")) }

// LoggerTo is Logger with another writer and level, one of Lambda's: TRACE, DEBUG, INFO,
// WARN, ERROR, FATAL. Anything else is INFO.
func LoggerTo(w io.Writer, level string) *slog.Logger {
	levels := map[string]slog.Level{
		"TRACE": slog.LevelDebug - 4,
		"DEBUG": slog.LevelDebug,
		"INFO":  slog.LevelInfo,
		"WARN":  slog.LevelWarn,
		"ERROR": slog.LevelError,
		"FATAL": slog.LevelError + 4,
	}
	return slog.New(ofInvocation{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: levels[level], ReplaceAttr: lambdacontext.ReplaceAttr})})
}

// ofInvocation adds the invocation's id to each record.
type ofInvocation struct{ to slog.Handler }

func (h ofInvocation) Enabled(ctx context.Context, l slog.Level) bool { return h.to.Enabled(ctx, l) }

func (h ofInvocation) Handle(ctx context.Context, r slog.Record) error {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		r = r.Clone()
		r.AddAttrs(slog.String("requestId", lc.AwsRequestID))
	}
	return h.to.Handle(ctx, r)
}

func (h ofInvocation) WithAttrs(attrs []slog.Attr) slog.Handler {
	return ofInvocation{h.to.WithAttrs(attrs)}
}

func (h ofInvocation) WithGroup(name string) slog.Handler { return ofInvocation{h.to.WithGroup(name)} }

// frames bounds the stack in a log.
const frames = 32

// LogPanic logs a recovered panic: where it was, and what the language says of it. The
// value of another panic is left out, since it may hold what was being worked on. Call it
// in the deferred function that recovered.
func LogPanic(ctx context.Context, log *slog.Logger, message string, recovered any, attrs ...any) {
	what := fmt.Sprintf("a value of type %T", recovered)
	if err, ok := recovered.(runtime.Error); ok {
		what = err.Error()
	}
	pcs := make([]uintptr, frames)
	pcs = pcs[:runtime.Callers(2, pcs)]
	var stack []string
	for all := runtime.CallersFrames(pcs); len(pcs) > 0; {
		f, more := all.Next()
		stack = append(stack, fmt.Sprintf("%s %s:%d", f.Function, f.File, f.Line))
		if !more {
			break
		}
	}
	log.ErrorContext(ctx, message, append(attrs, "panic", what, "stack", stack)...)
}
