using System.Text.RegularExpressions;

namespace InferenceServer.Server.Tests;

/// <summary>Every request of the .http files of the repository succeeds as it stands on the demo models.</summary>
[Collection(ServerCollection.Name)]
public sealed partial class HttpFileTests(DemoServer demo)
{
    [Fact]
    public async Task Every_request_succeeds()
    {
        var files = Directory.EnumerateFiles(Repository.Root, "*.http", new EnumerationOptions { RecurseSubdirectories = true, MaxRecursionDepth = 3 })
            .Where(f => !f.Contains("node_modules", StringComparison.Ordinal)).ToArray();
        Assert.NotEmpty(files);
        var count = 0;
        foreach (var file in files)
        {
            var text = await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken);
            var variables = Variable().Matches(text).ToDictionary(m => m.Groups[1].Value, m => m.Groups[2].Value.Trim());
            foreach (var block in Separator().Split(text))
            {
                var lines = block.Split('\n').Select(l => l.TrimEnd('\r')).SkipWhile(l => l.Length == 0 || l[0] is '#' or '@' || l.StartsWith("//", StringComparison.Ordinal)).ToArray();
                if (lines.Length == 0)
                {
                    continue;
                }

                foreach (var (name, value) in variables)
                {
                    lines = [.. lines.Select(l => l.Replace($"{{{{{name}}}}}", value, StringComparison.Ordinal))];
                }

                var start = lines[0].Split(' ', StringSplitOptions.RemoveEmptyEntries);
                var request = new HttpRequestMessage(new HttpMethod(start[0]), new Uri(start[1]).PathAndQuery);
                var body = string.Join('\n', lines.SkipWhile(l => l.Length > 0)).Trim();
                if (body.Length > 0)
                {
                    request.Content = new ByteArrayContent(System.Text.Encoding.UTF8.GetBytes(body));
                }

                foreach (var header in lines.Skip(1).TakeWhile(l => l.Length > 0).Select(l => l.Split(':', 2)))
                {
                    if (!request.Headers.TryAddWithoutValidation(header[0], header[1].Trim()))
                    {
                        request.Content?.Headers.TryAddWithoutValidation(header[0], header[1].Trim());
                    }
                }

                var answer = await demo.Client.AskAsync(request);
                Assert.True(answer.Status is >= 200 and < 300, $"{lines[0]}: {answer.Status} {answer.Body}");
                count++;
            }
        }

        Assert.True(count >= 8, $"only {count} requests");
    }

    [GeneratedRegex(@"^###.*$", RegexOptions.Multiline)]
    private static partial Regex Separator();

    [GeneratedRegex(@"^@(\w+)\s*=\s*(.*)$", RegexOptions.Multiline)]
    private static partial Regex Variable();
}
