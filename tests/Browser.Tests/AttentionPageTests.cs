using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Deque.AxeCore.Playwright;
using Microsoft.Playwright;

namespace InferenceServer.Browser.Tests;

/// <summary>The attention page at <c>/</c>, as a teacher opens it: what it says first, what its views show, that its numbers are the API's, and that everybody can use it.</summary>
public sealed partial class AttentionPageTests(ChromiumBrowser chromium) : IClassFixture<ChromiumBrowser>
{
    private const string Bench = "O banco da praça estava sujo, então fui ao banco sacar dinheiro.";
    private static readonly string[] Views = ["words", "grid", "heads", "matrix", "compare", "translate", "flow", "lesson", "predict"];
    private static readonly string Pages = Path.Combine(Repository.Root, "src", "InferenceServer", "wwwroot");

    public static TheoryData<string, string, ColorScheme> Looks()
    {
        var looks = new TheoryData<string, string, ColorScheme>();
        foreach (var view in Views)
        {
            looks.Add(view, "pt-BR", ColorScheme.Light);
            looks.Add(view, "en-US", ColorScheme.Light);
            looks.Add(view, "pt-BR", ColorScheme.Dark);
            looks.Add(view, "en-US", ColorScheme.Dark);
        }

        return looks;
    }

    [Theory]
    [InlineData("pt-BR", "Camada 2, cabeça 2: banco (2) olha sobretudo para dinheiro, 45%.")]
    [InlineData("en-US", "Layer 2, head 1: bank looks mostly at money, 40%.")]
    public async Task The_first_look_is_a_sentence_about_a_real_head_and_what_was_recorded_is_what_is_live(string locale, string statement)
    {
        var complaints = new List<string>();
        var page = await OpenAsync("", complaints, locale: locale);
        await DrawnAsync(page, "words");
        Assert.Equal(statement, (await page.Locator(".statement").InnerTextAsync()).Replace('\u00A0', ' '));
        Assert.False(await Scrolls(page), "the page scrolls at 1366 x 768");
        await ChromiumBrowser.PictureAsync(page, "first-" + locale);

        var recorded = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(Pages, "recorded", locale[..2] + ".json"), TestContext.Current.CancellationToken))!;
        var shown = await page.Locator("#view ol.words .word").AllInnerTextsAsync();
        var words = recorded["words"]!.AsArray();
        Assert.Equal(words.Count, shown.Count);
        for (var i = 0; i < shown.Count; i++)
        {
            var (word, weight) = (shown[i].Split('\n')[0], shown[i].Split('\n')[^1]);
            Assert.Equal((string)words[i]![0]!, word);
            Assert.Equal((double)words[i]![1]! / 255, double.Parse("0" + weight.Replace(',', '.'), CultureInfo.InvariantCulture), 0.01);
        }

        Assert.Empty(complaints);
        await page.CloseAsync();
    }

    [Fact]
    public async Task The_recorded_picture_comes_before_any_model_answers()
    {
        var page = await chromium.OpenAsync();
        await page.RouteAsync("**/api/**", route => Task.CompletedTask); // the server never answers
        await page.GotoAsync(chromium.Address + "/");
        await page.Locator("#view .word").First.WaitForAsync();
        Assert.Contains("record", await page.Locator("#view .note").InnerTextAsync(), StringComparison.Ordinal);
        await page.CloseAsync();
    }

    [Fact]
    public async Task Where_no_model_is_ready_the_page_says_so_and_waits()
    {
        var page = await chromium.OpenAsync(options: new BrowserNewPageOptions { Locale = "en-US" });
        var ready = false;
        await page.RouteAsync("**/api/models", async route =>
        {
            if (Volatile.Read(ref ready))
            {
                await route.ContinueAsync();
                return;
            }

            await route.FulfillAsync(new RouteFulfillOptions { ContentType = "application/json", Body = """{"models": [{"id": "demo-bert", "state": "loading", "tasks": []}]}""" });
        });
        await page.GotoAsync(chromium.Address + "/");
        await page.GetByText("The models are still loading (demo-bert)").WaitForAsync();
        Volatile.Write(ref ready, true);
        await DrawnAsync(page, "words");
        await page.CloseAsync();
    }

    [Theory]
    [MemberData(nameof(Looks))]
    public async Task Every_view_is_drawn_without_a_complaint_and_axe_finds_nothing(string view, string locale, ColorScheme scheme)
    {
        var complaints = new List<string>();
        var page = await OpenAsync(view == "translate" ? Hash("demo-translator", "The girl gave the red flowers to the teacher.", view) : Hash("demo-bert", Bench, view), complaints, locale, scheme, axe: true);
        await DrawnAsync(page, view);
        if (view is "predict")
        {
            await page.Locator(".chart canvas").WaitForAsync();
        }

        await ChromiumBrowser.PictureAsync(page, $"{view}-{locale}-{scheme}");
        var found = await page.RunAxe();
        Assert.True(found.Violations.Length == 0, string.Join('\n', found.Violations.Select(v => $"{v.Id}: {v.Help}: {string.Join(" | ", v.Nodes.Take(4).Select(n => n.Html))}")));
        Assert.Empty(complaints);
        Assert.InRange(await page.EvaluateAsync<int>("document.getElementsByTagName('*').length"), 1, 3000);
        await page.CloseAsync();
    }

    [Fact]
    public async Task The_whole_lesson_works_by_keys_and_its_softmax_is_that_of_its_scores()
    {
        var complaints = new List<string>();
        var page = await OpenAsync(Hash("demo-bert", Bench, "lesson") + "&layer=2&head=2&auto=0&focus=11", complaints);
        for (var step = 1; step <= 12; step++)
        {
            await page.Locator($"h2:has-text('{step}. ')").First.WaitForAsync();
            Assert.Contains(step == 1 ? "view=lesson" : $"step={step}", page.Url, StringComparison.Ordinal);
            await page.Locator(".check").WaitForAsync();
            if (step == 1)
            {
                Assert.Equal(0, await page.Locator(".row-values").CountAsync()); // nothing gives the answer away
                await page.Locator("[data-key=t13]").ClickAsync();
                await page.GetByText("Certo: banco (2) olha para dinheiro, 45").WaitForAsync();
                await page.Locator(".row-values").WaitForAsync();
            }

            if (step == 9)
            {
                var rows = await page.Locator(".lesson-table tbody tr").EvaluateAllAsync<double[][]>("rows => rows.map(row => [...row.querySelectorAll('td')].map(cell => Number(cell.textContent.replace(',', '.'))))");
                var exponentials = rows[0].Select(Math.Exp).ToArray();
                for (var k = 0; k < rows[1].Length; k++)
                {
                    Assert.Equal(exponentials[k] / exponentials.Sum(), rows[1][k], 5e-3); // of scores with two digits
                    Assert.Equal(rows[1][k], rows[2][k], 1e-3);
                }
            }

            if (step < 12)
            {
                await page.Locator("[data-key=next]").FocusAsync();
                await page.Keyboard.PressAsync("Enter");
            }
        }

        await page.GoBackAsync();
        await page.Locator("h2:has-text('11. ')").WaitForAsync();
        Assert.Empty(complaints);
        await page.CloseAsync();
    }

    [Fact]
    public async Task The_numbers_are_those_of_the_API_and_curl_asks_for_what_is_shown()
    {
        var page = await OpenAsync(Hash("demo-bert", Bench, "matrix") + "&layer=2&head=2&auto=0&focus=11");
        await DrawnAsync(page, "matrix");
        await page.Locator("details summary").ClickAsync();
        var shown = await page.Locator(".table-place tbody tr").EvaluateAllAsync<string[][]>("rows => rows.map(row => [...row.querySelectorAll('td')].map(cell => cell.textContent))");

        await page.EvaluateAsync("() => { navigator.clipboard.writeText = text => { window.copied = text; return Promise.resolve(); }; }");
        await page.GetByText("copiar como curl").ClickAsync();
        var curl = await page.EvaluateAsync<string>("window.copied");
        var body = Body().Match(curl).Groups[1].Value;
        using var content = new StringContent(body, null, "application/json");
        using var answer = await chromium.Client.PostAsync("/api/models/demo-bert/attention", content, TestContext.Current.CancellationToken);
        var json = JsonNode.Parse(await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!;
        var tokens = json["tokens"]!.AsArray();
        var kept = Enumerable.Range(0, tokens.Count).Where(i => !(bool)tokens[i]!["special"]!).ToArray();
        Assert.Equal(kept.Length, shown.Length);
        for (var q = 0; q < kept.Length; q++)
        {
            for (var k = 0; k < kept.Length; k++)
            {
                Assert.Equal((double)json["attention"]![0]![0]![kept[q]]![kept[k]]!, double.Parse(shown[q][k].Replace(',', '.'), CultureInfo.InvariantCulture), 0.0006);
            }
        }

        await page.CloseAsync();
    }

    [Theory]
    [InlineData("PNG", ".png")]
    [InlineData("SVG", ".svg")]
    [InlineData("CSV", ".csv")]
    [InlineData("npy", ".npy")]
    public async Task What_is_shown_can_be_taken_along(string format, string ending)
    {
        foreach (var view in (string[])["words", "grid", "heads", "matrix", "flow"])
        {
            var page = await OpenAsync(Hash("demo-bert", Bench, view));
            await DrawnAsync(page, view);
            var download = await page.RunAndWaitForDownloadAsync(() => page.Locator(".exports").GetByText(format, new() { Exact = true }).ClickAsync());
            Assert.EndsWith(ending, download.SuggestedFilename, StringComparison.Ordinal);
            var bytes = await File.ReadAllBytesAsync(await download.PathAsync(), TestContext.Current.CancellationToken);
            Assert.True(bytes.Length > 100, $"{view}: {bytes.Length} bytes");
            await page.CloseAsync();
        }
    }

    [Fact]
    public async Task Keys_move_layers_and_heads_along_words_and_back()
    {
        var page = await OpenAsync(Hash("demo-bert", Bench, "words") + "&layer=1&head=2&auto=0&focus=2");
        await DrawnAsync(page, "words");
        await page.Keyboard.PressAsync("]");
        await page.WaitForURLAsync("**layer=2*");
        await page.Keyboard.PressAsync("+");
        await page.WaitForURLAsync("**head=3*");
        await page.Keyboard.PressAsync("-");
        await page.WaitForURLAsync("**head=2*");
        await page.GoBackAsync();
        await page.WaitForURLAsync("**head=3*");
        await page.Locator("[data-key=k2]").FocusAsync();
        await page.Keyboard.PressAsync("ArrowRight");
        Assert.Equal("k3", await page.EvaluateAsync<string>("document.activeElement.dataset.key"));
        await page.Keyboard.PressAsync("Enter");
        await page.WaitForURLAsync("**focus=3*");
        await page.Keyboard.PressAsync("m");
        await page.WaitForURLAsync("**view=predict*");
        await page.Locator(".chart canvas").WaitForAsync();
        await page.Keyboard.PressAsync("?");
        Assert.True(await page.Locator("#dialog").IsVisibleAsync());
        await page.CloseAsync();
    }

    [Fact]
    public async Task A_head_is_switched_off_and_words_are_shaded_by_what_they_give()
    {
        var complaints = new List<string>();
        var page = await OpenAsync(Hash("demo-bert", Bench, "predict") + "&layer=2&head=2&auto=0&focus=11", complaints, "en-US");
        await DrawnAsync(page, "predict");
        await page.GetByText("switch off layer 2, head 2").ClickAsync();
        await page.GetByText("Without layer 2, head 2").WaitForAsync();

        await page.Locator("#tab-words").ClickAsync();
        await DrawnAsync(page, "words");
        var plain = await page.Locator("#view ol.words .word-weight").AllInnerTextsAsync();
        await page.GetByLabel("weight × length of v").CheckAsync();
        await page.GetByText("Shaded by weight").WaitForAsync();
        var scaled = await page.Locator("#view ol.words .word-weight").AllInnerTextsAsync();
        Assert.Equal(plain.Count, scaled.Count);
        Assert.NotEqual(plain, scaled);
        Assert.Empty(complaints);
        await page.CloseAsync();
    }

    [Fact]
    public async Task Typed_markup_and_every_script_stay_text()
    {
        const string Hostile = "<script>alert(1)</script> <img src=x onerror=alert(1)> praça 😀 你好";
        var complaints = new List<string>();
        var page = await OpenAsync(Hash("demo-bert", Bench, "words"), complaints);
        await DrawnAsync(page, "words");
        page.Dialog += (_, dialog) => complaints.Add("a dialog: " + dialog.Message);
        await page.Locator("#a").FillAsync(Hostile);
        await page.Locator("#view").GetByText("praça").First.WaitForAsync();
        foreach (var view in Views.Where(view => view != "translate"))
        {
            await page.Locator("#tab-" + view).ClickAsync();
            await DrawnAsync(page, view);
        }

        Assert.Equal(0, await page.Locator("#view img, #view script, #panel img").CountAsync());
        Assert.Empty(complaints);
        await page.CloseAsync();
    }

    [Fact]
    public async Task A_decoder_goes_on_word_by_word_and_a_translator_shows_what_it_needed()
    {
        var page = await OpenAsync(Hash("demo-gpt", "O menino abriu a porta e", "predict"), locale: "en-US");
        await DrawnAsync(page, "predict");
        var before = await page.Locator("#view .pick .word").CountAsync();
        await page.GetByText("one word further").ClickAsync();
        await page.Locator("#view .pick .word").Nth(before).WaitForAsync();

        await page.GotoAsync(chromium.Address + "/" + Hash("demo-translator", "The girl gave the red flowers to the teacher.", "translate"));
        await page.Locator(".translation").WaitForAsync();
        Assert.Equal("A menina deu as flores vermelhas ao professor .", await page.Locator(".translation").InnerTextAsync());
        await page.GetByText("what was needed?").ClickAsync();
        await page.Locator(".needed canvas").WaitForAsync();
        await page.CloseAsync();
    }

    [Theory]
    [InlineData("pronoun", "compare")]
    [InlineData("train", "words")]
    [InlineData("book", "heads")]
    [InlineData("similar", "heads")]
    [InlineData("translation", "translate")]
    [InlineData("next", "matrix")]
    [InlineData("polysemy", "words")]
    public async Task Every_example_opens_its_view(string example, string view)
    {
        var complaints = new List<string>();
        var page = await OpenAsync("", complaints, "en-US");
        await DrawnAsync(page, "words");
        var texts = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(Pages, "i18n", "en.json"), TestContext.Current.CancellationToken))!;
        await page.Locator("#examples").GetByText((string)texts["example." + example]!, new() { Exact = true }).ClickAsync();
        await page.WaitForURLAsync($"**example={example}*");
        await DrawnAsync(page, view);
        await ChromiumBrowser.PictureAsync(page, "example-" + example);
        Assert.Empty(complaints);
        await page.CloseAsync();
    }

    [Theory]
    [InlineData("words")]
    [InlineData("matrix")]
    [InlineData("lesson")]
    [InlineData("predict")]
    public async Task A_narrow_window_and_large_letters_need_no_sideways_scrolling(string view)
    {
        var page = await OpenAsync(Hash("demo-bert", Bench, view), size: new ViewportSize { Width = 320, Height = 700 }); // as 1280 at 400 %
        await DrawnAsync(page, view);
        Assert.True(await page.EvaluateAsync<bool>("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), "the page is wider than 320 px");
        await ChromiumBrowser.PictureAsync(page, $"narrow-{view}");
        await page.CloseAsync();
    }

    [Fact]
    public void Both_languages_have_every_text_that_the_modules_name_and_lesson_screens_are_short()
    {
        var texts = ((string[])["pt", "en"]).ToDictionary(name => name, name => JsonSerializer.Deserialize<Dictionary<string, string>>(File.ReadAllText(Path.Combine(Pages, "i18n", name + ".json")))!);
        Assert.Equal(texts["pt"].Keys.Order(), texts["en"].Keys.Order());
        var modules = Directory.EnumerateFiles(Pages, "*.js", SearchOption.AllDirectories).Where(file => !file.Contains("lib", StringComparison.Ordinal)).Select(File.ReadAllText).ToList();
        var named = modules.SelectMany(text => Named().Matches(text)).Select(match => match.Groups[1].Value)
            .Concat(DataText().Matches(File.ReadAllText(Path.Combine(Pages, "index.html"))).Select(match => match.Groups[1].Value)).Distinct().ToList();
        Assert.True(named.Count > 100, $"only {named.Count} texts are named");
        Assert.DoesNotContain(named, key => !texts["en"].ContainsKey(key));
        Assert.All(texts, language => Assert.All(language.Value.Where(text => LessonText().IsMatch(text.Key)), text => Assert.True(text.Value.Split(' ').Length <= 40, $"{language.Key} {text.Key}")));
        Assert.All(modules, text => Assert.DoesNotContain("Math.random", text, StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_first_picture_costs_less_than_150_kB_and_asks_no_other_host()
    {
        var page = await chromium.OpenAsync();
        long bytes = 0;
        var hosts = new HashSet<string>();
        page.RequestFinished += async (_, request) =>
        {
            lock (hosts)
            {
                hosts.Add(new Uri(request.Url).Authority);
            }

            var sizes = await request.SizesAsync();
            Interlocked.Add(ref bytes, sizes.ResponseBodySize);
        };
        await page.GotoAsync(chromium.Address + "/");
        await DrawnAsync(page, "words");
        TestContext.Current.TestOutputHelper!.WriteLine($"{bytes / 1000.0:0} kB to the first live picture");
        Assert.InRange(bytes, 1, 150_000);
        Assert.Single(hosts);
        await page.CloseAsync();
    }

    private static string Hash(string model, string text, string view) => $"#model={model}&a={Uri.EscapeDataString(text)}&view={view}";

    private static Task DrawnAsync(IPage page, string view) => page.Locator($"body[data-drawn={view}] .row-says h2").WaitForAsync();

    private static Task<bool> Scrolls(IPage page) => page.EvaluateAsync<bool>("document.documentElement.scrollHeight > innerHeight + 1");

    [GeneratedRegex("-d '(.*)'$", RegexOptions.Singleline)]
    private static partial Regex Body();

    [GeneratedRegex(@"\bt\('([a-z0-9.]+)'[,)]")]
    private static partial Regex Named();

    [GeneratedRegex("data-(?:text|label|title)=\"([a-z0-9.]+)\"")]
    private static partial Regex DataText();

    [GeneratedRegex(@"^lesson\.\d+\.text$")]
    private static partial Regex LessonText();

    private async Task<IPage> OpenAsync(string hash, List<string>? complaints = null, string locale = "pt-BR", ColorScheme scheme = ColorScheme.Light, ViewportSize? size = null, bool axe = false)
    {
        var page = await chromium.OpenAsync(complaints, new BrowserNewPageOptions { Locale = locale, ColorScheme = scheme, ReducedMotion = ReducedMotion.Reduce, ViewportSize = size ?? new ViewportSize { Width = 1366, Height = 768 }, BypassCSP = axe });
        var answer = await page.GotoAsync(chromium.Address + "/" + hash);
        Assert.Equal(200, answer!.Status);
        return page;
    }
}
