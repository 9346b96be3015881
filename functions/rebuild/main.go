// Rebuild compares what customers hold with what their events and orders come to. A person
// invokes it, with {} and then with {"cursor"} of each answer until one has none: nothing
// does by itself, and it writes nothing that is live.
package main

import (
	"context"
	"regexp"

	"github.com/aws/aws-lambda-go/lambda"

	"grantline/shared/aws/dynamo"
	"grantline/shared/aws/setting"
	"grantline/shared/fault"
	"grantline/shared/rebuild"
)

// ask is its event.
type ask struct {
	// Target names tables that the state is written into, beside the live ones:
	// <their prefix>rebuild-<target>-customers, which is there and empty. Without one it only
	// compares.
	Target string `json:"target"`
	rebuild.Ask
}

var targets = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

func main() {
	r, log := setting.Read(), setting.Logger()
	live := dynamo.Open(context.Background(), r, setting.AWS())
	r.Check()

	lambda.Start(func(ctx context.Context, a ask) (rebuild.Report, error) {
		work := rebuild.Rebuild{Tables: live, Walker: live}
		if a.Target != "" {
			if !targets.MatchString(a.Target) {
				return rebuild.Report{}, fault.New(fault.Malformed, "invalid_request", "target should be 1 to 32 of a-z, 0-9 and -.")
			}
			beside := live.Beside("rebuild-" + a.Target)
			work.Target, work.TargetWalker = beside, beside
		}
		report, err := work.Run(ctx, a.Ask)
		log.InfoContext(ctx, "compared", "equal", report.Equal, "customers", report.Customers, "events", report.Events,
			"orders", report.Orders, "older", report.Older, "counts", report.Counts, "error", err)
		return report, err
	})
}
