package main

import (
	"fmt"
	"math"
	"os"

	"github.com/spf13/cobra"

	"coalmine/analyze"
	"coalmine/attack"
	"coalmine/report"
)

func (w world) planCommand() *cobra.Command {
	var (
		p                            policyFlags
		q                            analyze.Question
		rate, format, before         string
		onLoopback                   bool
		assumed                      = analyze.DefaultService
		baselineErrors, unattributed string
	)
	c := &cobra.Command{
		Use:   "plan",
		Short: "Say what a gate will need, before anything is sent",
		Long: `For a policy, a percentage, a rate and a budget (--max-duration): the requests
and the time until each check can decide, the smallest regression that the
budget can see, and the cost in dollars. Nothing is sent.

The figures are expectations: log(1/alpha)/information of a canary that is like
the baseline, times what simulation measured. A policy that cannot be decided
within the budget is refused with exit code 2 and the changes that would do.

Prices are list prices in us-east-1 as of 2025 (aws.amazon.com/api-gateway/pricing,
aws.amazon.com/lambda/pricing, aws.amazon.com/cloudwatch/pricing), without free
tier, data transfer, cache or WAF.
`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			show, err := report.NamedPlan(format)
			if err != nil {
				return usagef("--format: %w", err)
			}
			if !(q.Percent > 0 && q.Percent < 100) {
				return usagef("--percent: want more than 0 and less than 100, got %v", q.Percent)
			}
			if !(q.MaxRate > 0) || math.IsInf(q.MaxRate, 0) {
				return usagef("--max-rate: want more than 0, got %v", q.MaxRate)
			}
			if q.Policy, err = p.policy(onLoopback); err != nil {
				return err
			}
			t := target{rate: rate, maxRate: q.MaxRate, given: c.Flags().Changed}
			if rate != "auto" {
				asked, err := t.rateFor(map[bool]string{true: "http://127.0.0.1"}[onLoopback], 100, 1000)
				if err != nil {
					return err
				}
				q.Rate = attack.PerSecond(asked)
			}
			q.Service = assumed
			if before != "" {
				if q.Service, err = learn(before); err != nil {
					return usagef("--before: %w", err)
				}
			}
			given := c.Flags().Changed
			if given("baseline-p50") || given("baseline-sigma") {
				if before != "" && given("baseline-p50") != given("baseline-sigma") {
					return usagef("--baseline-p50, --baseline-sigma: want both, or neither, with --before")
				}
				q.Service = q.Service.Assume(assumed.Median, assumed.Sigma)
			}
			for _, share := range []struct {
				name, text string
				of         *float64
			}{{"baseline-errors", baselineErrors, &q.Service.Errors}, {"unattributed", unattributed, &q.Service.Unattributed}} {
				if given(share.name) {
					var x analyze.Percentage
					if err := x.UnmarshalText([]byte(share.text)); err != nil {
						return usagef("--%s: %w", share.name, err)
					}
					*share.of = float64(x)
				}
			}
			forecast, err := analyze.Foresee(q)
			if err != nil {
				return usage(err)
			}
			if err := show(w.stdout, forecast); err != nil {
				return err
			}
			fmt.Fprintln(w.stderr, report.PlanLine(forecast))
			if forecast.Room == analyze.Undecidable {
				return exit{code: exitUsage}
			}
			return nil
		},
	}
	f := c.Flags()
	p.flags(f)
	f.Float64Var(&q.Percent, "percent", 50, "of the traffic that goes to the canary")
	f.StringVar(&rate, "rate", "", `requests per time, like 500/s, or "auto": the expected requests over min-duration, and enough for the budget (default 100/s, 1000/s with --loopback)`)
	f.Float64Var(&q.MaxRate, "max-rate", 1000, "highest rate per second to ask for, choose or advise")
	f.BoolVar(&onLoopback, "loopback", false, "with the defaults of a target on this machine")
	f.StringVar(&format, "format", "table", "forecast on standard output: table or json")
	f.StringVar(&before, "before", "", "run file to learn errors and latencies from: its phase before the canary, or an attack")
	f.StringVar(&baselineErrors, "baseline-errors", "0.1%", "errors of the baseline")
	f.StringVar(&unattributed, "unattributed", "0%", "of all requests: errors that name no version")
	f.DurationVar(&assumed.Median, "baseline-p50", assumed.Median, "median response time of the baseline")
	f.Float64Var(&assumed.Sigma, "baseline-sigma", assumed.Sigma, "spread of its lognormal response times")
	q.Prices = analyze.DefaultPrices
	f.Float64Var(&q.Prices.Requests, "price-requests", q.Prices.Requests, "API Gateway, dollars per million requests (REST; HTTP APIs: 1.00)")
	f.Float64Var(&q.Prices.Invocations, "price-invocations", q.Prices.Invocations, "Lambda, dollars per million invocations")
	f.Float64Var(&q.Prices.GBSecond, "price-gb-second", q.Prices.GBSecond, "Lambda, dollars per GB-second (x86; arm64: 0.0000133334)")
	f.Float64Var(&q.Prices.MemoryMB, "memory", q.Prices.MemoryMB, "MB of the function")
	f.DurationVar(&q.Prices.Duration, "billed", 0, "time billed for an invocation (default the baseline's mean response time, which is no less)")
	f.Float64Var(&q.Prices.LogBytes, "log-bytes", 0, "that a request writes to CloudWatch Logs, shown apart")
	f.Float64Var(&q.Prices.LogGB, "price-log-gb", q.Prices.LogGB, "CloudWatch Logs, dollars per GB")
	return c
}

// learn reads what a run file says of the service.
func learn(path string) (analyze.Service, error) {
	file, err := os.Open(path)
	if err != nil {
		return analyze.Service{}, err
	}
	defer file.Close()
	s, err := analyze.LearnService(file)
	if err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}
