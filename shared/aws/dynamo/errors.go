package dynamo

import (
	"context"
	"errors"
	"fmt"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"grantline/shared/fault"
)

// bugs are the codes of DynamoDB for requests that can never succeed. Everything else
// that is not a conflict is an outage, a missing permission included: the truth could
// not be found out.
var bugs = map[string]bool{
	"ValidationException":                      true,
	"SerializationException":                   true,
	"IdempotentParameterMismatchException":     true,
	"ItemCollectionSizeLimitExceededException": true,
}

// kindOf gives an error of the SDK its kind.
func kindOf(err error) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok && bugs[api.ErrorCode()] {
		return fmt.Errorf("dynamo: refused as a bug: %w", err)
	}
	return unavailable(err)
}

func unavailable(cause error) error {
	return fault.New(fault.Unavailable, "tables_unavailable", "The tables did not answer.").Because(cause)
}

// repeats sees the attempts of one call that the SDK may make several of.
type repeats struct {
	last error // of the attempt before
	lost bool  // an attempt before the last one may have been carried out
}

// watched is an option of one call.
func (r *repeats) watched(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
		return s.Finalize.Insert(middleware.FinalizeMiddlewareFunc("Repeats", r.attempt), "Retry", middleware.After)
	})
}

func (r *repeats) attempt(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	r.lost = r.lost || r.last != nil && !refused(r.last)
	out, meta, err := next.HandleFinalize(ctx, in)
	r.last = err
	return out, meta, err
}

// refused reports whether DynamoDB itself said that it did nothing: an error with a
// code and a status of 4xx. A 5xx or no answer may hide a write that was made.
func refused(err error) bool {
	_, coded := errors.AsType[smithy.APIError](err)
	answer, answered := errors.AsType[*awshttp.ResponseError](err)
	return coded && answered && answer.HTTPStatusCode() >= 400 && answer.HTTPStatusCode() < 500
}
