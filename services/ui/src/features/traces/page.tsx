export function TracesPage() {
  return <div className="page" />
}
