using System.Diagnostics;
using System.Globalization;
using Microsoft.Playwright;

namespace InferenceServer.Browser.Tests;

/// <summary>How soon the page shows what is asked for. The figures are printed; only what does not depend on the machine is asserted.</summary>
public sealed class AttentionPageSpeedTests(ChromiumBrowser chromium) : IClassFixture<ChromiumBrowser>
{
    private const int MostNodes = 3000;
    private const double MostHeapMB = 60;
    private const string Sentence = "the bench in the square was dirty so I went to the bank to withdraw some money and then the old woman gave me a red flower ";

    [Fact]
    public async Task Figures_of_the_shipped_model()
    {
        var page = await chromium.OpenAsync(options: new BrowserNewPageOptions { Locale = "en-US", ViewportSize = new ViewportSize { Width = 1366, Height = 768 } });
        var clock = Stopwatch.StartNew();
        await page.GotoAsync(chromium.Address + "/");
        await page.Locator("#view .word").First.WaitForAsync();
        Print("first picture", clock);
        await DrawnAsync(page, "words");
        Print("live picture, cold", clock);
        clock.Restart();
        await page.Locator("#a").FillAsync("The old woman gave the red flowers to the teacher because it was her birthday and she was happy about it, and then they went home together in the rain.");
        await page.Locator("#view").GetByText("birthday").First.WaitForAsync();
        Print("own text of 32 tokens, typing pause included", clock);
        await FiguresAsync(page, "demo-bert", Repeated(120)); // words; some more tokens
        await page.CloseAsync();
    }

    [Fact]
    public async Task Figures_of_twelve_heads_and_long_texts()
    {
        var folder = TestData.ModelFolder("models/all-MiniLM-L6-v2"); // skips where it is absent
        using var models = new TemporaryFolder();
        TemporaryFolder.Copy(folder, Path.Combine(models.Path, "all-MiniLM-L6-v2"), file => !Path.GetFileName(file).StartsWith("expected.", StringComparison.Ordinal));
        await using var server = await ServerProcess.StartAsync(models.Path, new Dictionary<string, string?> { ["Models__all_MiniLM_L6_v2__MaxTokens"] = "512" });
        foreach (var words in (int[])[120, 480])
        {
            var page = await chromium.OpenAsync(options: new BrowserNewPageOptions { Locale = "en-US", ViewportSize = new ViewportSize { Width = 1366, Height = 768 } });
            await FiguresAsync(page, "all-MiniLM-L6-v2", Repeated(words), server.Address.ToString().TrimEnd('/'));
            await page.CloseAsync();
        }
    }

    private static string Repeated(int words) => string.Join(' ', Enumerable.Repeat(Sentence.TrimEnd().Split(' '), 30).SelectMany(all => all).Take(words));

    private static Task DrawnAsync(IPage page, string view) => page.Locator($"body[data-drawn={view}] .row-says h2").WaitForAsync();

    private static void Print(string what, Stopwatch clock) => TestContext.Current.TestOutputHelper!.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{what}: {clock.ElapsedMilliseconds} ms"));

    private async Task FiguresAsync(IPage page, string model, string text, string? address = null)
    {
        await page.GotoAsync($"{address ?? chromium.Address}/#model={model}&merge=token&view=words&a={Uri.EscapeDataString(text)}");
        if (address is null)
        {
            await page.ReloadAsync(); // the address differs by its fragment alone
        }

        await DrawnAsync(page, "words");
        var clock = new Stopwatch();
        foreach (var view in (string[])["grid", "matrix", "heads", "words"])
        {
            clock.Restart();
            await page.Locator("#tab-" + view).ClickAsync();
            await DrawnAsync(page, view);
            Print($"{model}, {text.Split(' ').Length} words: {view}", clock);
        }

        await page.Locator("#tab-matrix").ClickAsync();
        await DrawnAsync(page, "matrix");
        List<double> switches = [];
        for (var i = 0; i < 20; i++)
        {
            var before = new Uri(page.Url).Fragment;
            clock.Restart();
            await page.Keyboard.PressAsync("+");
            await page.WaitForURLAsync(url => new Uri(url).Fragment != before);
            await DrawnAsync(page, "matrix");
            switches.Add(clock.Elapsed.TotalMilliseconds);
        }

        switches.Sort();
        var output = TestContext.Current.TestOutputHelper!;
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{model}, {text.Split(' ').Length} words: head switch, median {switches[10]:0} ms, p95 {switches[18]:0} ms, of it the driver's"));
        var nodes = await page.EvaluateAsync<int>("document.getElementsByTagName('*').length");
        var heap = await page.EvaluateAsync<double>("performance.memory.usedJSHeapSize / 1e6");
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{nodes} nodes, {heap:0} MB of heap"));
        Assert.InRange(nodes, 1, MostNodes);
        Assert.InRange(heap, 1, MostHeapMB);
    }
}
