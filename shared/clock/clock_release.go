//go:build !local

package clock

import "time"

func now() time.Time { return time.Now().UTC() }
