// Quotes an item: asks the next service for its part, and adds its own name to the answer.
// NEXT is the address of the next service; without it this one is the last of the chain.
//
// Go has no agent that is switched on by environment variables. telemetry.go is the whole of what
// the service itself needs; the environment says where it sends and under which name.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
)

type quote struct {
	Services []string `json:"services"`
}

var (
	next   = os.Getenv("NEXT")
	client = http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport)}
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	shutdown, err := startTelemetry(ctx)
	if err != nil {
		panic(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /quotes/{item}", answer)
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: otelhttp.NewHandler(mux, "http")}
	go server.ListenAndServe()

	<-ctx.Done()
	late, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	server.Shutdown(late)
	shutdown(late)
}

func answer(response http.ResponseWriter, request *http.Request) {
	item := request.PathValue("item")
	slog.InfoContext(request.Context(), "in stock", "item", item)
	services, err := ask(request.Context(), item)
	response.Header().Set("Content-Type", "application/json")
	if err != nil {
		slog.ErrorContext(request.Context(), "no stock", "item", item, "error", err)
		response.WriteHeader(http.StatusInternalServerError)
	}
	json.NewEncoder(response).Encode(quote{services})
}

func ask(ctx context.Context, item string) ([]string, error) {
	if item == "unknown" {
		return []string{}, fmt.Errorf("no such item: %s", item)
	}
	if next == "" {
		return []string{"go"}, nil
	}
	request, err := http.NewRequestWithContext(ctx, "GET", next+"/quotes/"+item, nil)
	if err != nil {
		return []string{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return []string{}, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return []string{}, fmt.Errorf("no quote: %s", response.Status)
	}
	var rest quote
	err = json.NewDecoder(response.Body).Decode(&rest)
	return append([]string{"go"}, rest.Services...), err
}
