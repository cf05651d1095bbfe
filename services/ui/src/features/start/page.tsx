export { FirstRun as StartPage } from "~/features/start/first-run"
